"""Intensities of brains: quantiles of each modality, means of tumour regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from utad_monai.data.slice_store import SlicedCase, SliceStore
from utad_monai.keys import Modality, TumourLabel
from utad_monai.transforms import BACKGROUND


def mean_brain_intensities(store: SliceStore, cases: Sequence[SlicedCase]) -> dict[Modality, float]:
    """Return the mean normalised brain intensity of each modality, in [-1, 1]; modalities no case has are left out.

    Args:
        store: prepared slices.
        cases: cases to average over, each counting the same.
    """
    means: dict[Modality, list[float]] = {modality: [] for modality in store.preprocessing.modalities}
    for case in cases:
        for modality in case.modalities:
            slices = np.asarray(store.image(case.case_id, modality), dtype=np.float32)
            means[modality].append(float(slices[slices > BACKGROUND].mean()))
    return {modality: float(np.mean(values)) for modality, values in means.items() if values}


LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Quantiles of the brain's normalised intensities that describe an image."""
UNUSUAL = 4.0
"""An image is unlike the training images when one of its quantiles is so many spreads away from theirs."""
_SMALLEST_SPREAD = 0.08
"""Quantiles of few or very similar training images seem closer together than patients are."""
_SLICE_STEP = 4


@dataclass(frozen=True)
class IntensityProfile:
    """Quantiles of the normalised brain intensities of the training images of one modality.

    Attributes:
        means: mean of each quantile of `LEVELS` over the training images, in [-1, 1].
        spreads: standard deviation of each over the training images.
    """

    means: tuple[float, ...]
    spreads: tuple[float, ...]

    def distance(self, slices: Tensor) -> float:
        """Return how unusual an image is: the largest distance of a quantile from its mean, in spreads.

        Args:
            slices: `(Z, H, W)` in [-1, 1], background exactly -1.

        Raises:
            ValueError: when the image has no brain.
        """
        measured = brain_quantiles(slices)
        return max(
            abs(value - mean) / max(spread, _SMALLEST_SPREAD)
            for value, mean, spread in zip(measured, self.means, self.spreads, strict=True)
        )


def brain_quantiles(slices: Tensor) -> tuple[float, ...]:
    """Return the quantiles `LEVELS` of the brain pixels of `(Z, H, W)` slices in [-1, 1].

    Raises:
        ValueError: when the image has no brain.
    """
    brain = slices[slices > BACKGROUND].numpy()
    if brain.size == 0:
        raise ValueError("has no brain to describe")
    return tuple(float(value) for value in np.quantile(brain, LEVELS))


def intensity_profiles(store: SliceStore, cases: Sequence[SlicedCase]) -> dict[Modality, IntensityProfile]:
    """Describe the images of each modality that the cases have.

    Args:
        store: prepared slices.
        cases: training cases, each counting the same.
    """
    return {
        modality: _profile([_quantiles(store, case, modality) for case in having])
        for modality in store.preprocessing.modalities
        if (having := [case for case in cases if modality in case.modalities])
    }


def _quantiles(store: SliceStore, case: SlicedCase, modality: Modality) -> tuple[float, ...]:
    slices = store.image(case.case_id, modality)[::_SLICE_STEP].astype(np.float32)
    return brain_quantiles(torch.from_numpy(slices))


def _profile(quantiles: Sequence[tuple[float, ...]]) -> IntensityProfile:
    table = np.array(quantiles)
    return IntensityProfile(tuple(map(float, table.mean(axis=0))), tuple(map(float, table.std(axis=0))))


def profiles_as_data(profiles: Mapping[Modality, IntensityProfile]) -> dict[str, list[list[float]]]:
    """Return profiles as plain data for a file."""
    return {str(modality): [list(profile.means), list(profile.spreads)] for modality, profile in profiles.items()}


def profiles_from_data(data: Mapping[str, Sequence[Sequence[float]]]) -> dict[Modality, IntensityProfile]:
    """Rebuild profiles from the plain data of a file.

    Raises:
        ValueError: when the data has another form.
    """
    profiles = {}
    for modality, (means, spreads) in data.items():
        if not len(means) == len(spreads) == len(LEVELS):
            raise ValueError(f"the intensity profile of {modality} has not {len(LEVELS)} quantiles")
        profiles[Modality.named(modality)] = IntensityProfile(tuple(map(float, means)), tuple(map(float, spreads)))
    return profiles


_LEAST_PIXELS = 20
"""Of a region in one patient: fewer say nothing of its mean."""


_SEEN_IN_NO_OTHER = (Modality.T1CE, TumourLabel.ENHANCING)


def region_intensities(store: SliceStore, cases: Sequence[SlicedCase]) -> Tensor:
    """Return the mean over patients of the mean intensity of every tumour region that other images can show.

    What takes up contrast agent is seen in T1ce alone: its mean there would teach what no network can find.

    Args:
        store: prepared slices.
        cases: whose images count, each modality on its own; cases without a segmentation are passed over.

    Returns:
        `(M, 4)` float32 in [-1, 1]: modality (order of the preprocessing's) by `TumourLabel`; NaN for the background,
        for enhancing tumour in T1ce, and where no patient shows a region.
    """
    modalities = store.preprocessing.modalities
    means = np.full((len(modalities), len(TumourLabel)), np.nan, np.float32)
    for channel, modality in enumerate(modalities):
        of_patients = [_means(store, case, modality) for case in cases if _counts(case, modality)]
        for label in TumourLabel:
            shown = [regions[label] for regions in of_patients if label in regions]
            if shown and (modality, label) != _SEEN_IN_NO_OTHER:
                means[channel, label] = np.mean(shown)
    return torch.from_numpy(means)


def with_region_intensities(
    images: Tensor, labels: Tensor, target: Tensor, intensities: Tensor, floor: float
) -> Tensor:
    """Move every tumour region to the cohort's mean intensity; what varies within it stays.

    Args:
        images: `(B, 1, H, W)` in [-1, 1].
        labels: `(B, 1, H, W)` int64, values of `TumourLabel`.
        target: `(B,)` int64, the modality of each image.
        intensities: of `region_intensities`.
        floor: the darkest that brain may become.
    """
    moved = images.clone()
    for label in TumourLabel:
        region = (labels == label).to(images)
        pixels = region.flatten(1).sum(dim=1)
        wanted = intensities.to(images)[target, label]
        shift = wanted - (images * region).flatten(1).sum(dim=1) / pixels.clamp_min(1)
        # a few pixels of a region may be any part of it: they move in proportion
        shift = shift.nan_to_num(0) * (pixels / _LEAST_PIXELS).clamp_max(1)
        moved = moved + shift[:, None, None, None] * region
    return torch.where(labels > TumourLabel.BACKGROUND, moved.clamp(floor, 1), images)


def _counts(case: SlicedCase, modality: Modality) -> bool:
    return case.tumour_pixels is not None and modality in case.windows


def _means(store: SliceStore, case: SlicedCase, modality: Modality) -> dict[TumourLabel, float]:
    slices = np.flatnonzero(np.array(case.tumour_pixels) > 0)
    image, labels = store.image(case.case_id, modality)[slices], store.labels(case.case_id)[slices]
    return {
        label: float(image[labels == label].mean(dtype=np.float64))
        for label in (TumourLabel.NECROTIC, TumourLabel.OEDEMA, TumourLabel.ENHANCING)
        if (labels == label).sum() >= _LEAST_PIXELS
    }
