"""Save the best generator of a teaching, with everything needed to use it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from utad_monai.checkpoints import Translator, save_translator
from utad_monai.data.preprocessing import Preprocessing
from utad_monai.engines.teaching_validator import KEY_METRIC, TeachingValidator
from utad_monai.handlers.best_so_far import BestSoFar
from utad_monai.networks import TumourAwareGenerator
from utad_monai.phantom import TeachingBrains, reference_histograms

_logger = logging.getLogger(__name__)


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
        translator = Translator(self.generator, self.preprocessing, reference_histograms=self.histograms, training=made)
        save_translator(self.path, translator)
        _logger.info("epoch %d: %s %.4f is the best so far, saved %s", epoch, KEY_METRIC, value, self.path)
