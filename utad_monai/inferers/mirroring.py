"""Translations of mirror images: brains are nearly symmetric, and a network's errors are less so."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from utad_monai.inferers.slice_translator import SliceTranslator
from utad_monai.keys import Modality

Translate = Callable[[Mapping[Modality, Tensor], Modality, Tensor | None], Tensor]


def both_ways(
    translate: Translate, images: Mapping[Modality, Tensor], target: Modality, tumour_mask: Tensor | None = None
) -> Tensor:
    """Translate images as they are and mirrored left-right, and mirror the latter back.

    Args:
        translate: called like a `SliceTranslator`.
        images: `(Z, H, W)` of each source.
        target: the modality to make.
        tumour_mask: `(Z, H, W)`, for a teacher.

    Returns:
        `(2, Z, H, W)`, the plain translation first.
    """
    mirrored = {source: image.flip(-1) for source, image in images.items()}
    mask = None if tumour_mask is None else tumour_mask.flip(-1)
    return torch.stack([translate(images, target, tumour_mask), translate(mirrored, target, mask).flip(-1)])


class MirroringTranslator:
    """The mean of a translation and that of the mirror image: twice the time; called like a `SliceTranslator`.

    Args:
        slices: what translates.
    """

    def __init__(self, slices: SliceTranslator) -> None:
        self.slices = slices

    @property
    def several(self) -> bool:
        """Whether a translation starts from any number of images at once."""
        return self.slices.several

    def __call__(
        self, images: Mapping[Modality, Tensor], target: Modality, tumour_mask: Tensor | None = None
    ) -> Tensor:
        """Translate images of one case, `(Z, H, W)` in [-1, 1], to `target`: `(Z, H, W)`, background exactly -1."""
        return both_ways(self.slices, images, target, tumour_mask).mean(dim=0)
