"""Curves of intensity from sums over voxels: conditional means, spreads, stretching and histogram matching."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from utad_monai.contrast.atlas import Floats
from utad_monai.contrast.maps import KNOTS

GRID: Floats = np.linspace(0, 1, KNOTS)
"""Intensities of the knots."""
_FEWEST = 20.0
"""Voxels that a knot needs; others follow their neighbours."""


@dataclass
class KnotMeans:
    """Running means of values by intensity; a voxel counts for its two nearest knots.

    Attributes:
        sums: `(64,)` sums of values.
        weights: `(64,)` voxels.
    """

    sums: Floats = field(default_factory=lambda: np.zeros(KNOTS))
    weights: Floats = field(default_factory=lambda: np.zeros(KNOTS))

    def add(self, intensities: Floats, values: Floats) -> None:
        """Count voxels in: `(N,)` intensities in [0, 1] and the value at each."""
        place = intensities.astype(np.float64) * (KNOTS - 1)
        below = np.clip(place.astype(np.intp), 0, KNOTS - 2)
        upper = place - below
        for knot, share in ((below, 1 - upper), (below + 1, upper)):
            self.sums += np.bincount(knot, share * values, KNOTS)
            self.weights += np.bincount(knot, share, KNOTS)

    @property
    def known(self) -> bool:
        """Whether there is enough for a curve."""
        return bool((self.weights > _FEWEST).any())

    def curve(self) -> Floats:
        """Return the mean value at every knot; knots with few voxels lie on the line between their neighbours.

        Raises:
            ValueError: when no knot has enough voxels.
        """
        if not self.known:
            raise ValueError("no intensity has enough voxels for a curve")
        enough = self.weights > _FEWEST
        return np.interp(GRID, GRID[enough], self.sums[enough] / self.weights[enough])


def mean(curve: Floats, histogram: Floats) -> float:
    """Return the mean of a curve over voxels, given as a histogram of sum 1 over the knots."""
    return float((curve * histogram).sum())


def spread(curve: Floats, histogram: Floats) -> float:
    """Return the standard deviation of a curve over voxels, given as a histogram of sum 1 over the knots."""
    return float(np.sqrt((np.square(curve - mean(curve, histogram)) * histogram).sum()))


def stretched(curve: Floats, histogram: Floats, gain: float) -> Floats:
    """Return a curve with its distances from the mean multiplied, clipped to [0, 1]."""
    middle = mean(curve, histogram)
    wide: Floats = np.clip(middle + gain * (curve - middle), 0, 1)
    return wide


def histogram_matching(source: Floats, target: Floats) -> Floats:
    """Return the rising curve that gives every source intensity the target intensity of the same rank.

    Args:
        source: histogram of sum 1 over the knots.
        target: the same of the target.
    """
    ranks, wanted = (np.cumsum(histogram) - histogram / 2 for histogram in (source, target))
    rising = np.maximum.accumulate(wanted) + 1e-12 * np.arange(KNOTS)  # np.interp wants no ties
    return np.interp(ranks, rising, GRID)
