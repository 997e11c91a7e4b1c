"""Dice of the tumour regions of a whole case."""

from __future__ import annotations

from monai.metrics import compute_dice
from torch import Tensor

from utad_monai.keys import TumourRegion

DICE_PROTOCOL = "per case in 3-D on the model's slices; both empty counts 1, one empty counts 0 (BraTS convention)"
"""What the Dice numbers mean; printed beside them."""


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
