"""Do neighbouring slices of a synthetic volume fit together as those of a real one do?"""

from __future__ import annotations

import math

from torch import Tensor

from utad_monai.transforms import BACKGROUND


def through_plane_variation(volume: Tensor) -> float:
    """Return the mean absolute difference of neighbouring slices where both are brain.

    Args:
        volume: `(Z, H, W)` in [-1, 1], background exactly -1.

    Returns:
        A value in [0, 2]; NaN where no two neighbouring slices share brain.
    """
    brain = volume > BACKGROUND
    shared = brain[1:] & brain[:-1]
    if not bool(shared.any()):
        return math.nan
    return float(volume.diff(dim=0).abs()[shared].mean())


def slice_consistency(real: Tensor, translated: Tensor) -> float:
    """Return the through-plane variation of a translated volume relative to the real one's.

    1 is as smooth as the real volume, more is striped (slices translated one by one tend to be), less is blurred.

    Args:
        real: `(Z, H, W)` in [-1, 1], background exactly -1.
        translated: the same.

    Returns:
        A ratio; NaN where the real volume does not vary or has no neighbouring slices.
    """
    reference = through_plane_variation(real)
    return through_plane_variation(translated) / reference if reference > 0 else math.nan
