"""Training with the true target: of patients who have it, and of the phantom."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from utad_monai.data.preprocessing import Preprocessing
from utad_monai.data.slice_store import SliceStore
from utad_monai.engines.generator_trainer import GeneratorTrainer, TranslationEvents
from utad_monai.engines.translation_trainer import TranslationTrainer
from utad_monai.engines.validators import KEY_METRIC, TeachingValidator
from utad_monai.handlers.saving import BestSoFar
from utad_monai.keys import BatchKey, LossTerm
from utad_monai.losses import teaching_terms
from utad_monai.models import TranslatorModel, save_translator
from utad_monai.models.stages import drop_other_model
from utad_monai.networks import TumourAwareGenerator
from utad_monai.phantom import TeachingBrains, reference_histograms

_logger = logging.getLogger(__name__)


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


class Teaching:
    """Compare each translation with the batch's true target: **uses paired targets**, which only phantoms bring along.

    The weights of the trainer whose names begin with `paired` say which terms count.
    """

    def attach(self, engine: GeneratorTrainer) -> None:
        """Register on the trainer."""
        engine.add_event_handler(TranslationEvents.GENERATOR_FORWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Add the terms to the step's generator terms.

        Raises:
            RuntimeError: when it is called outside a training step, or the batch has no target images.
        """
        if not isinstance(engine, GeneratorTrainer) or engine.translation is None or engine.translation_batch is None:
            raise RuntimeError("teaching runs inside the training step of a GeneratorTrainer")
        batch = engine.translation_batch
        if batch.target_image is None:
            raise RuntimeError("teaching needs batches with target images (utad_monai.phantom.TeachingBatches)")
        engine.generator_terms |= teaching_terms(
            engine.translation, batch.target_image, batch.tumour_mask, engine.loss_weights
        )


class SaveTaughtTranslator(BestSoFar):
    """After each validation, save the generator when its key metric is the best so far.

    Args:
        path: the model file, replaced atomically.
        generator: the network that was validated.
        preprocessing: what images must have gone through.
        brains: the phantom it is taught with; its histograms are what a calibration starts from.
        training: plain data on how the model was made.
    """

    def __init__(
        self,
        path: str | Path,
        generator: TumourAwareGenerator,
        *,
        preprocessing: Preprocessing,
        brains: TeachingBrains,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(path)
        self.generator = generator
        self.preprocessing = preprocessing
        self.histograms = reference_histograms(brains)
        self.training = dict(training or {})

    def attach(self, engine: TeachingValidator) -> None:
        """Register on the validator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save the translator when the validator's key metric improved."""
        value = float(engine.state.metrics[KEY_METRIC])
        if not self.is_better(value):
            return
        epoch = engine.state.epoch
        made = self.training | {"epoch": epoch, "validation_metric": KEY_METRIC, "validation_value": value}
        translator = TranslatorModel(
            self.generator, self.preprocessing, reference_histograms=self.histograms, training=made
        )
        save_translator(self.path, translator)
        drop_other_model(self.path)
        _logger.info("epoch %d: %s %.4f is the best so far, saved %s", epoch, KEY_METRIC, value, self.path)
