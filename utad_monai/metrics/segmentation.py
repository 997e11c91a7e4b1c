"""Dice and Hausdorff distance of the tumour regions of a whole case."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monai.metrics import compute_dice, compute_hausdorff_distance
from torch import Tensor

from utad_monai.keys import TumourRegion

DICE_PROTOCOL = "per case in 3-D on the model's slices; both empty counts 1, one empty counts 0 (BraTS convention)"
"""What the Dice numbers mean; printed beside them."""
MISSED_REGION_MM = 373.13
"""HD95 where only one side is empty: the diagonal of 240 x 240 x 155 mm, as the BraTS challenge counts it."""
HAUSDORFF_PROTOCOL = (
    f"95th percentile in mm per case in 3-D, the greater of both directions; both empty counts 0, one empty "
    f"{MISSED_REGION_MM:g} mm (BraTS convention)"
)
"""What the HD95 numbers mean; printed beside them."""


def region_dice(predicted: Tensor, truth: Tensor) -> dict[TumourRegion, float]:
    """Return the Dice of each tumour region.

    Args:
        predicted: `(3, Z, H, W)` in {0, 1}, order of `TumourRegion`.
        truth: the same.

    Returns:
        Dice in [0, 1]; 1 where both are empty, 0 where only one is.
    """
    dice = compute_dice(predicted[None], truth[None], include_background=True, ignore_empty=False)[0]
    return dict(zip(TumourRegion, (float(value) for value in dice), strict=True))


def region_hausdorff(predicted: Tensor, truth: Tensor, spacing_mm: Sequence[float]) -> dict[TumourRegion, float]:
    """Return the 95th percentile Hausdorff distance of each tumour region in mm.

    Args:
        predicted: `(3, Z, H, W)` in {0, 1}, order of `TumourRegion`.
        truth: the same.
        spacing_mm: distance of voxels along Z, H and W.

    Returns:
        Distances in mm; 0 where both are empty, `MISSED_REGION_MM` where only one is.
    """
    distances = {}
    for place, region in enumerate(TumourRegion):
        made, real = predicted[place], truth[place]
        sides = bool(made.any()), bool(real.any())
        if not any(sides):
            distances[region] = 0.0
        elif not all(sides):
            distances[region] = MISSED_REGION_MM
        else:
            distance = compute_hausdorff_distance(
                made[None, None],
                real[None, None],
                include_background=True,
                percentile=95,
                spacing=[float(size) for size in spacing_mm],
            )
            distances[region] = float(distance)
    return distances


def lesion_volume_change(predicted: Tensor, truth: Tensor) -> dict[TumourRegion, float]:
    """Return the relative change of each region's volume, as the downstream network sees it.

    Args:
        predicted: `(3, Z, H, W)` in {0, 1}, order of `TumourRegion`, segmented with the synthetic image.
        truth: the reference, the same.

    Returns:
        `(predicted - true) / true` volume per region: -1 for a lesion that vanished, 0 for the same size; NaN where the
        reference is empty.
    """
    changes = {}
    for region, made, real in zip(TumourRegion, predicted, truth, strict=True):
        volume = float(real.sum())
        changes[region] = (float(made.sum()) - volume) / volume if volume else math.nan
    return changes
