"""Is a translation just its input?"""

from __future__ import annotations

import math

from torch import Tensor

from transforms import BACKGROUND


def identity_copy_score(source: Tensor, translated: Tensor, real: Tensor) -> float:
    """Return how much a translation keeps to its source where the real target does not.

    `1 - E|translated - source| / E|real - source|` over the brain: 1 for a copy of the source, 0 for an image that is
    as far from the source as the real target, negative for one that is farther.

    Args:
        source: `(Z, H, W)` in [-1, 1], background exactly -1.
        translated: the same shape and range.
        real: the same shape and range.

    Returns:
        The score; NaN where the real target equals the source, or there is no brain.
    """
    brain = source > BACKGROUND
    needed = float((real - source).abs()[brain].mean()) if bool(brain.any()) else 0.0
    if needed == 0:
        return math.nan
    return 1 - float((translated - source).abs()[brain].mean()) / needed
