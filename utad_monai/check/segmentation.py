"""Is the segmentation one of a tumour in this brain?"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

LARGEST_TUMOUR_SHARE = 0.5
"""A segmentation that covers more of the brain is hardly one of a tumour."""
LARGEST_OUTSIDE_SHARE = 0.1
"""A segmentation with more of its voxels outside the brain hardly belongs to it."""


def doubtful_segmentation(tumour: Tensor, brain: Tensor) -> Iterator[str]:
    """Yield what is doubtful about a whole-tumour mask `(X, Y, Z)` in a brain mask of the same shape."""
    inside = tumour.bool() & brain
    size = float(tumour.bool().sum())
    if not size:
        return
    covered = float(inside.sum()) / max(1.0, float(brain.sum()))
    outside = 1 - float(inside.sum()) / size
    if covered > LARGEST_TUMOUR_SHARE:
        yield f"covers {covered:.0%} of the brain: is it a segmentation of tissues instead of a tumour?"
    if outside > LARGEST_OUTSIDE_SHARE:
        yield f"has {outside:.0%} of its voxels outside the brain: does it belong to this case?"
