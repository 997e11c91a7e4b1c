"""Intensities that carry less than they seem to: saturated or vanishingly small."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

SATURATED_SHARE = 0.02
"""An image is saturated when more of its foreground has the largest value; sound images stay below 0.0001."""
SMALLEST_INTENSITY = 1e-30
"""Images without a larger absolute value are close to the end of float32 and lose digits."""


def doubtful_intensities(image: Tensor) -> Iterator[str]:
    """Yield what is doubtful about the intensities of one volume of any shape, in file units."""
    foreground = image[image != 0]
    if foreground.numel() == 0:
        return
    largest = float(foreground.max())
    share = float((foreground == largest).float().mean())
    if share > SATURATED_SHARE:
        yield f"is saturated: {share:.0%} of its foreground has the largest value, {largest:g}; export it unclipped"
    if float(foreground.abs().max()) < SMALLEST_INTENSITY:
        yield f"has vanishingly small (denormal) intensities, at most {largest:g}; rescale it"
