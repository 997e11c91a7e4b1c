"""Is the foreground of an image a brain, or a whole head?"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor

LARGEST_BRAIN_ML = 2500.0
"""No skull-stripped brain is larger; a head in a usual field of view is."""
BORDER_SHARE = 0.3
"""A brain leaves most of the six faces of its volume free; a head, or noise around it, does not."""
REMEDY = "strip the skull with `utad-monai prepare`, HD-BET or SynthStrip; background must be 0"


def skull_signs(image: Tensor, spacing_mm: Sequence[float]) -> str:
    """Return why an image is hardly skull-stripped, with the remedy; empty when it may be.

    Args:
        image: `(X, Y, Z)` in file units.
        spacing_mm: voxel size along the three axes.
    """
    foreground = image != 0
    millilitres = float(foreground.count_nonzero()) * prod(spacing_mm) / 1000
    if millilitres > LARGEST_BRAIN_ML:
        return f"is not skull-stripped: its foreground of {millilitres:.0f} ml is more than a brain; {REMEDY}"
    faces = [foreground.select(axis, end).float().mean() for axis in range(3) for end in (0, -1)]
    share = float(sum(faces)) / len(faces)
    if share > BORDER_SHARE:
        return f"is not skull-stripped: its foreground covers {share:.0%} of the volume's faces; {REMEDY}"
    return ""
