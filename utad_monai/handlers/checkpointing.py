"""Save the best translator of a training run, with everything needed to use it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from ignite.engine import Engine, Events

from transforms import IntensityWindow
from utad_monai.checkpoints import Translator, save_translator
from utad_monai.data.intensity_profile import intensity_profiles
from utad_monai.data.slices import PreparedCase, SliceStore
from utad_monai.engines.translation_validator import TranslationValidator
from utad_monai.handlers.best_so_far import BestSoFar
from utad_monai.keys import Modality
from utad_monai.networks import ModalityCritic, TumourAwareGenerator

_logger = logging.getLogger(__name__)


class SaveBestTranslator(BestSoFar):
    """After each validation, save the generator when its key metric is the best so far.

    Args:
        path: the model file, replaced atomically.
        generator: the network that was validated.
        critics: whole-image and tumour-image critic, kept so that a later stage can go on with them.
        store: prepared slices of the training cases.
        training_cases: give the typical intensity window and the intensity profile of each modality.
        training: plain data on how the model was made.
    """

    def __init__(
        self,
        path: str | Path,
        generator: TumourAwareGenerator,
        critics: Sequence[ModalityCritic],
        store: SliceStore,
        training_cases: Sequence[PreparedCase],
        training: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(path)
        self.generator = generator
        self.critics = (critics[0], critics[1])
        self.preprocessing = store.preprocessing
        self.target_windows = typical_windows(training_cases)
        self.intensity_profiles = intensity_profiles(store, training_cases)
        self.training = dict(training or {})

    def attach(self, engine: TranslationValidator) -> None:
        """Register on the validator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save the translator when the validator's key metric improved.

        Raises:
            RuntimeError: when the engine is not a `TranslationValidator`.
        """
        if not isinstance(engine, TranslationValidator):
            raise RuntimeError("SaveBestTranslator is attached to the validator")
        name = str(engine.key_metric)
        value = float(engine.state.metrics[name])
        if not self.is_better(value):
            return
        made = self.training | {"epoch": engine.state.epoch, "validation_metric": name, "validation_value": value}
        made["validated_on"] = engine.scored_on
        translator = Translator(
            self.generator,
            self.preprocessing,
            self.target_windows,
            engine.source_errors,
            self.intensity_profiles,
            self.critics,
            made,
        )
        save_translator(self.path, translator)
        score = f"{name} {value:.4f} on {engine.scored_on}"
        _logger.info("epoch %d: %s is the best so far, saved %s", engine.state.epoch, score, self.path)


def typical_windows(cases: Sequence[PreparedCase]) -> dict[Modality, IntensityWindow]:
    """Return the median intensity window of each modality that the cases have, in file units."""
    windows: dict[Modality, IntensityWindow] = {}
    for modality in Modality:
        known = [case.windows[modality] for case in cases if modality in case.windows]
        if known:
            windows[modality] = IntensityWindow(
                median(window.lower for window in known), median(window.upper for window in known)
            )
    return windows
