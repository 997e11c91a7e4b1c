"""Is a translation as sharp as the real image? Steps between neighbouring pixels, in any region."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def in_plane_variation(volume: Tensor, region: Tensor) -> float:
    """Return the mean absolute difference of pixels that are neighbours in their slice, where both are in a region.

    Args:
        volume: `(Z, H, W)` in [-1, 1].
        region: `(Z, H, W)` bool.

    Returns:
        A value in [0, 2]; NaN where the region has no two neighbours.
    """
    steps = [
        volume.diff(dim=axis).abs()[region.narrow(axis, 1, length - 1) & region.narrow(axis, 0, length - 1)]
        for axis, length in ((1, volume.shape[1]), (2, volume.shape[2]))
    ]
    together = torch.cat(steps)
    return float(together.mean()) if len(together) else math.nan


def sharpness(real: Tensor, translated: Tensor, region: Tensor) -> float:
    """Return the in-plane variation of a translation relative to the real image's.

    1 is as sharp as the real image, less is blurred, more is noisy or has edges that are not there.

    Args:
        real: `(Z, H, W)` in [-1, 1], background exactly -1.
        translated: the same shape and range.
        region: `(Z, H, W)` bool: brain, or part of a tumour.

    Returns:
        A ratio; NaN where the real image does not vary or the region has no two neighbours.

    Raises:
        ValueError: when the shapes differ.
    """
    if not real.shape == translated.shape == region.shape:
        raise ValueError(f"shapes differ: {tuple(real.shape)}, {tuple(translated.shape)}, {tuple(region.shape)}")
    reference = in_plane_variation(real, region)
    return in_plane_variation(translated, region) / reference if reference > 0 else math.nan
