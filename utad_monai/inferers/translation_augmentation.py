"""Synthetic images added to the training of a segmentation network, as a MONAI transform."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform

from utad_monai.inferers.slice_translator import SliceTranslator
from utad_monai.models import TranslatorModel


class RandTranslateModalityd(MapTransform, RandomizableTransform):
    """Replace one random modality of a sample by its translation from the best other one, or from all others at once.

    Images are `(M, H, W)` in [-1, 1], channels in the order of the student's modalities, and are not changed in place.
    Nothing else of the sample is touched: the tumour lies where the real images have it.

    Args:
        keys: keys of the images.
        translator: a mask-free student.
        device: where to translate.
        prob: share of the samples that are changed.
    """

    def __init__(
        self,
        keys: KeysCollection,
        translator: TranslatorModel,
        *,
        device: torch.device | str = "cpu",
        prob: float = 0.5,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.translator = translator
        self.modalities = translator.modalities
        self.translate = SliceTranslator(translator.generator, device, modalities=self.modalities)
        self.target = self.modalities[0]

    def randomize(self, data: Any = None) -> None:
        """Draw whether to replace a modality, and which."""
        super().randomize(data)
        self.target = self.modalities[self.R.randint(len(self.modalities))]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with its images changed."""
        changed = dict(data)
        self.randomize()
        if not self._do_transform:
            return changed
        sources = self.translator.sources(self.target, self.modalities)
        for key in self.key_iterator(changed):
            images = changed[key].clone()
            given = {source: images[self.modalities.channel(source)][None] for source in sources}
            images[self.modalities.channel(self.target)] = self.translate(given, self.target)[0]
            changed[key] = images
        return changed
