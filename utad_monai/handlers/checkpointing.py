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
from utad_monai.keys import Modality
from utad_monai.networks import ModalityCritic, TumourAwareGenerator

_logger = logging.getLogger(__name__)


class SaveBestTranslator:
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
        self.path = Path(path)
        self.generator = generator
        self.critics = (critics[0], critics[1])
        self.preprocessing = store.preprocessing
        self.target_windows = typical_windows(training_cases)
        self.intensity_profiles = intensity_profiles(store, training_cases)
        self.training = dict(training or {})
        self.best: float | None = None

    def attach(self, engine: TranslationValidator) -> None:
        """Register on the validator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with the best value of an earlier run.

        Raises:
            FileNotFoundError: when the model that had it is gone.
        """
        self.best = best_of_saved(self.path, state_dict)

    def __call__(self, engine: Engine) -> None:
        """Save the translator when the validator's key metric improved.

        Raises:
            RuntimeError: when the engine is not a `TranslationValidator`.
        """
        if not isinstance(engine, TranslationValidator):
            raise RuntimeError("SaveBestTranslator is attached to the validator")
        name = str(engine.key_metric)
        value = float(engine.state.metrics[name])
        if self.best is not None and not value > self.best:
            return
        self.best = value
        made = self.training | {"epoch": engine.state.epoch, "validation_metric": name, "validation_value": value}
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
        _logger.info("epoch %d: %s %.4f is the best so far, saved %s", engine.state.epoch, name, value, self.path)


def best_of_saved(path: Path, state_dict: Mapping[str, Any]) -> float | None:
    """Return the best value in a state of a handler that saves the best model.

    Raises:
        FileNotFoundError: when there is a value and no model.
    """
    best: float | None = state_dict["best"]
    if best is not None and not path.is_file():
        raise FileNotFoundError(f"the best model so far, {path}, is missing")
    return best


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
