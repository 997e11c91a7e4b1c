"""Contrast maps: from one modality to another by intensity alone, a piecewise-linear curve for each pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from utad_monai.contrast.atlas import Floats
from utad_monai.keys import FOUR_MODALITIES, Modality, ModalitySet
from utad_monai.models.source_choice import WEIGHT_EXPONENT
from utad_monai.transforms import BACKGROUND

KNOTS = 64
"""Points of each curve, evenly spaced over the intensities."""
_LEAST_WEIGHT = 1e-6
"""Of a map of which no agreement is known: without better ones, such maps count the same."""
DARKEST_BRAIN = BACKGROUND + 2**-7
"""What the normalisation gives to the darkest brain: it stays above the background."""


@dataclass(frozen=True)
class ContrastMaps:
    """A piecewise-linear map of intensity for every ordered pair of modalities.

    Attributes:
        curves: `(M, M, 64)` in [0, 1], by source and target in the order of `modalities`; a modality's map to itself is
            the identity.
        agreement: `(M, M)` in [0, 1]: how well the mapped mean brain of the source agrees with that of the target
            (correlation); of a paired map, with the target itself. 0 where it does not, or where that is not known.
        paired: whether pairs of images of the same patient were used.
        modalities: which there are.
    """

    curves: Tensor
    agreement: Tensor
    _: KW_ONLY
    paired: bool = False
    modalities: ModalitySet = FOUR_MODALITIES
    several: ClassVar[bool] = True
    """They take any number of images at once."""

    def __call__(
        self, images: Mapping[Modality, Tensor], target: Modality, _tumour_mask: Tensor | None = None, /
    ) -> Tensor:
        """Make the target from all images, by how well the map of each agrees; called like a `SliceTranslator`.

        Args:
            images: `(Z, H, W)` in [-1, 1] of each source, background exactly -1.
            target: the modality to make.

        Returns:
            `(Z, H, W)` in [-1, 1]: in each pixel the mean of the maps of the images that show brain there, with weights
            that rise with agreement; background exactly -1.

        Raises:
            ValueError: without images.
        """
        if not images:
            raise ValueError(f"a contrast map to {target} needs a source")
        made = torch.stack([self.translate(image, source, target) for source, image in images.items()])
        brain = (torch.stack(list(images.values())) > BACKGROUND).to(made)
        channel = self.modalities.channel
        agreement = torch.stack([self.agreement[channel(source), channel(target)] for source in images])
        weights = (agreement**WEIGHT_EXPONENT + _LEAST_WEIGHT).to(made)[:, None, None, None] * brain
        total = weights.sum(dim=0)
        mean = (weights * made).sum(dim=0) / total.clamp(min=_LEAST_WEIGHT)
        return torch.where(total > 0, mean, BACKGROUND)

    def translate(self, slices: Tensor, source: Modality, target: Modality) -> Tensor:
        """Map the intensities of the brain.

        Args:
            slices: `(Z, H, W)` in [-1, 1], background exactly -1.
            source: their modality.
            target: the modality to make.

        Returns:
            Slices of the same shape and range; background stays exactly -1, brain stays above it.
        """
        channel = self.modalities.channel
        mapped = apply_curve(self.curves[channel(source), channel(target)], (slices + 1) / 2) * 2 - 1
        return torch.where(slices > BACKGROUND, mapped.clamp(DARKEST_BRAIN, 1), BACKGROUND)


def apply_curve(curve: Tensor, intensities: Tensor) -> Tensor:
    """Return a piecewise-linear curve over evenly spaced knots on [0, 1] at each intensity; beyond, its ends."""
    place = (intensities * (len(curve) - 1)).clamp(0, len(curve) - 1)
    below = place.floor().clamp(max=len(curve) - 2)
    index = below.long()
    return torch.lerp(curve[index], curve[index + 1], place - below)


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
