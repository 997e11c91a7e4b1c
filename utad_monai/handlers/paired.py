"""The upper bound that may look: an L1 to the patient's real target, which no other method here is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from torch import Tensor

from utad_monai.data.slice_store import SliceStore
from utad_monai.engines.generator_trainer import TranslationEvents
from utad_monai.engines.translation_trainer import TranslationTrainer
from utad_monai.keys import BatchKey, LossTerm


class PairedSupervision:
    """Add `E|x^ - y|` with the true target slice y of the same patient: **uses paired targets**.

    It exists to say how good a translation could be, and is never part of an unpaired method. Samples whose case lacks
    the target modality do not count.

    Args:
        store: prepared slices, where the targets are looked up.
    """

    def __init__(self, store: SliceStore) -> None:
        self.store = store

    def attach(self, engine: TranslationTrainer) -> None:
        """Register on the trainer."""
        engine.add_event_handler(TranslationEvents.GENERATOR_FORWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Add the paired term to the step's generator terms.

        Raises:
            RuntimeError: when it is called outside a training step.
        """
        if not isinstance(engine, TranslationTrainer) or engine.translation is None:
            raise RuntimeError("paired supervision runs inside the training step of a TranslationTrainer")
        image = engine.translation.image
        first = 0 if engine.translation_batch is None else engine.translation_batch.first
        targets = self._targets(engine.state.batch)
        places = [place for place in targets if first <= place < first + len(image)]
        errors = [(image[place - first, 0] - targets[place].to(image)).abs().mean() for place in places]
        engine.generator_terms[LossTerm.PAIRED] = torch.stack(errors).mean() if errors else image.sum() * 0

    def _targets(self, batch: Any) -> dict[int, Tensor]:
        """Return the true target slice `(H, W)` of each sample that has one, by its place in the batch."""
        targets = {}
        for place, case_id in enumerate(batch[BatchKey.CASE_ID]):
            modality = self.store.preprocessing.modalities[int(batch[BatchKey.TARGET_MODALITY][place])]
            if modality in self.store.cases[case_id].modalities:
                pixels = self.store.image(case_id, modality)[int(batch[BatchKey.SLICE_INDEX][place])]
                target = torch.from_numpy(pixels.astype(np.float32))
                targets[place] = target.flip(-1) if bool(batch[BatchKey.MIRRORED][place]) else target
        return targets
