"""What a cohort's tumours look like: the mean intensity of each region in each modality, without pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from utad_monai.data.slices import PreparedCase, SliceStore
from utad_monai.keys import Modality, TumourLabel

_LEAST_PIXELS = 20
"""Of a region in one patient: fewer say nothing of its mean."""


def region_intensities(store: SliceStore, cases: Sequence[PreparedCase]) -> Tensor:
    """Return the mean over patients of the mean intensity of every tumour region.

    Args:
        store: prepared slices.
        cases: whose images count, each modality on its own; cases without a segmentation are passed over.

    Returns:
        `(4, 4)` float32 in [-1, 1]: modality (`Modality` order) by `TumourLabel`; NaN for the background and where no
        patient shows a region.
    """
    means = np.full((len(Modality), len(TumourLabel)), np.nan, np.float32)
    for modality in Modality:
        of_patients = [_means(store, case, modality) for case in cases if _counts(case, modality)]
        for label in TumourLabel:
            shown = [regions[label] for regions in of_patients if label in regions]
            if shown:
                means[modality.channel, label] = np.mean(shown)
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


def _counts(case: PreparedCase, modality: Modality) -> bool:
    return case.tumour_pixels is not None and modality in case.windows


def _means(store: SliceStore, case: PreparedCase, modality: Modality) -> dict[TumourLabel, float]:
    slices = np.flatnonzero(np.array(case.tumour_pixels) > 0)
    image, labels = store.image(case.case_id, modality)[slices], store.labels(case.case_id)[slices]
    return {
        label: float(image[labels == label].mean(dtype=np.float64))
        for label in (TumourLabel.NECROTIC, TumourLabel.OEDEMA, TumourLabel.ENHANCING)
        if (labels == label).sum() >= _LEAST_PIXELS
    }
