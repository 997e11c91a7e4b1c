"""What intensities a model was trained on, so that an image unlike them can be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transforms import BACKGROUND
from utad_monai.data.slices import PreparedCase, SliceStore
from utad_monai.keys import Modality

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


def intensity_profiles(store: SliceStore, cases: Sequence[PreparedCase]) -> dict[Modality, IntensityProfile]:
    """Describe the images of each modality that the cases have.

    Args:
        store: prepared slices.
        cases: training cases, each counting the same.
    """
    return {
        modality: _profile([_quantiles(store, case, modality) for case in having])
        for modality in Modality
        if (having := [case for case in cases if modality in case.modalities])
    }


def _quantiles(store: SliceStore, case: PreparedCase, modality: Modality) -> tuple[float, ...]:
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
        profiles[Modality(modality)] = IntensityProfile(tuple(map(float, means)), tuple(map(float, spreads)))
    return profiles
