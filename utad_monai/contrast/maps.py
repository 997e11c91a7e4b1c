"""Contrast maps: from one modality to another by intensity alone, a piecewise-linear curve for each pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from transforms import BACKGROUND
from utad_monai.keys import Modality
from utad_monai.source_choice import WEIGHT_EXPONENT

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
        curves: `(4, 4, 64)` in [0, 1], by source and target in `Modality` order; a modality's map to itself is the
            identity.
        agreement: `(4, 4)` in [0, 1]: how well the mapped mean brain of the source agrees with that of the target
            (correlation); of a paired map, with the target itself. 0 where it does not, or where that is not known.
        paired: whether pairs of images of the same patient were used.
    """

    curves: Tensor
    agreement: Tensor
    paired: bool = False
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
        agreement = torch.stack([self.agreement[source.channel, target.channel] for source in images])
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
        mapped = apply_curve(self.curves[source.channel, target.channel], (slices + 1) / 2) * 2 - 1
        return torch.where(slices > BACKGROUND, mapped.clamp(DARKEST_BRAIN, 1), BACKGROUND)


def apply_curve(curve: Tensor, intensities: Tensor) -> Tensor:
    """Return a piecewise-linear curve over evenly spaced knots on [0, 1] at each intensity; beyond, its ends."""
    place = (intensities * (len(curve) - 1)).clamp(0, len(curve) - 1)
    below = place.floor().clamp(max=len(curve) - 2)
    index = below.long()
    return torch.lerp(curve[index], curve[index + 1], place - below)
