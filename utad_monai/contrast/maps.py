"""Contrast maps: from one modality to another by intensity alone, a piecewise-linear curve for each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transforms import BACKGROUND
from utad_monai.keys import Modality

KNOTS = 64
"""Points of each curve, evenly spaced over the intensities."""
DARKEST_BRAIN = BACKGROUND + 2**-7
"""What the normalisation gives to the darkest brain: it stays above the background."""


@dataclass(frozen=True)
class ContrastMaps:
    """A piecewise-linear map of intensity for every ordered pair of modalities.

    Attributes:
        curves: `(4, 4, 64)` in [0, 1], by source and target in `Modality` order; a modality's map to itself is the
            identity.
        agreement: `(4, 4)` in [0, 1]: how well the mapped mean brain of the source agrees with that of the target
            (correlation). 0 where it does not, or where it could not be measured.
        paired: whether pairs of images of the same patient were used.
    """

    curves: Tensor
    agreement: Tensor
    paired: bool = False

    def __call__(
        self, images: Mapping[Modality, Tensor], target: Modality, _tumour_mask: Tensor | None = None, /
    ) -> Tensor:
        """Make the target from the image whose map agrees best with it; called like a `SliceTranslator`.

        Args:
            images: `(Z, H, W)` in [-1, 1] of each source, background exactly -1.
            target: the modality to make.

        Raises:
            ValueError: without images.
        """
        source = self.best_source(tuple(images), target)
        return self.translate(images[source], source, target)

    def best_source(self, sources: Sequence[Modality], target: Modality) -> Modality:
        """Return the source whose map agrees best with the target, of equal ones the first.

        Raises:
            ValueError: without sources.
        """
        if not sources:
            raise ValueError(f"a contrast map to {target} needs a source")
        return max(sources, key=lambda source: float(self.agreement[source.channel, target.channel]))

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
