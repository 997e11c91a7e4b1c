"""Keep the best model of a training."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn

from utad_monai.data.intensity import intensity_profiles
from utad_monai.data.intensity_histogram import mean_over_patients, patient_histograms
from utad_monai.data.preprocessing import Preprocessing
from utad_monai.data.slice_store import SlicedCase, SliceStore
from utad_monai.engines.validators import TranslationValidator
from utad_monai.keys import FOUR_MODALITIES, Modality, ModalitySet
from utad_monai.models import Segmenter, TranslatorModel, save_segmenter, save_translator
from utad_monai.models.source_choice import BELOW_COPY
from utad_monai.models.stages import drop_other_model, present_model
from utad_monai.networks import ModalityCritic, TumourAwareGenerator
from utad_monai.transforms import IntensityWindow

_logger = logging.getLogger(__name__)
_WARMUP_MOMENTUM = 0.2
_WARMUP_ITERATIONS = 100


class GeneratorAverage:
    """Keep `network`, the average of a generator's weights, or the generator itself when both shares are 0.

    Two averages, one of the other: over the iterations (the moving average), and with the weights that the training
    began with (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"): halfway, a network keeps most of what
    it learned and more of what it knew, which tells on images of another site. The second is made at the end of an
    epoch, before anything looks at the network.

    Args:
        generator: the network in training, with the weights that it begins with.
        decay: share of the old average that is kept in each iteration, in [0, 1); 0 switches the average off, as in
            the paper.
        start_share: share of the weights at the beginning, in [0, 1); 0 leaves them out, as in the paper.

    Raises:
        ValueError: when a share is outside [0, 1).
    """

    def __init__(self, generator: TumourAwareGenerator, decay: float = 0.0, *, start_share: float = 0.0) -> None:
        for name, share in (("decay", decay), ("start_share", start_share)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must be in [0, 1), got {share}")
        self._handler: EMAHandler | None = None
        self._average = generator
        if decay > 0:
            self._handler = EMAHandler(generator, 1 - decay, _WARMUP_MOMENTUM, _WARMUP_ITERATIONS)
            self._average = self._handler.ema_model  # type: ignore[assignment]
        self.start_share = start_share
        self.network = self._average if start_share == 0 else deepcopy(self._average)
        begun = self._average.named_parameters() if start_share > 0 else ()
        self._start = {name: weight.detach().clone() for name, weight in begun}

    def state_dict(self) -> dict[str, Any]:
        """Return the average's weights and how often it was updated, and those it begins with, where they count."""
        state: dict[str, Any] = {}
        if self._handler is not None:
            state |= {"network": self._average.state_dict(), "updates": self._warmup.event_index}
        if self._start:
            state |= {"start_share": self.start_share, "start": self._start}
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with the average of an earlier run.

        Raises:
            ValueError: when the share of the start weights is another one.
        """
        if state_dict.get("start_share", 0.0) != self.start_share:
            raise ValueError(f"the share of the start weights was {state_dict.get('start_share', 0.0)} (start_share)")
        if self._handler is not None:
            self._average.load_state_dict(state_dict["network"])
            self._warmup.event_index = state_dict["updates"]
        if self._start:
            self._start = {name: state_dict["start"][name].to(weight) for name, weight in self._start.items()}
            self._mix()

    @property
    def _warmup(self) -> Any:
        """What counts the updates, and lets the average follow faster in the first ones."""
        return None if self._handler is None else self._handler.momentum_scheduler

    def attach(self, engine: Engine) -> None:
        """Update the average after every iteration, and mix in the start weights at the end of each epoch."""
        if self._handler is not None:
            self._handler.attach(engine, event=Events.ITERATION_COMPLETED)
        if self._start:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._mix)

    @torch.no_grad()
    def _mix(self) -> None:
        self.network.load_state_dict(self._average.state_dict())
        for name, weight in self.network.named_parameters():
            weight.lerp_(self._start[name], self.start_share)


class BestSoFar:
    """Remember the greatest value, and the model file that belongs to it.

    Args:
        path: the model file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.best: float | None = None

    def is_better(self, value: float) -> bool:
        """Tell whether a value is greater than all before, and remember it then.

        The first one always is, so that no run ends without a model; when it is NaN, any number is better.
        """
        if self.best is not None and not math.isnan(self.best) and not value > self.best:
            return False
        self.best = value
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far; None before the first."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with the best value of an earlier run.

        Raises:
            FileNotFoundError: when there is a value and its model is gone.
        """
        if state_dict["best"] is not None and not present_model(self.path).is_file():
            raise FileNotFoundError(f"the best model so far, {self.path}, is missing")
        self.best = state_dict["best"]


class SaveBestTranslator(BestSoFar):
    """After each validation, save the generator when its key metric is the best so far.

    Args:
        path: the model file, replaced atomically.
        generator: the network that was validated.
        critics: whole-image and tumour-image critic, kept so that a later stage can go on with them.
        store: prepared slices of the training cases.
        training_cases: give the typical intensity window, the intensity profile and the histogram of each modality.
        training: plain data on how the model was made.
    """

    def __init__(
        self,
        path: str | Path,
        generator: TumourAwareGenerator,
        *,
        critics: Sequence[ModalityCritic],
        store: SliceStore,
        training_cases: Sequence[SlicedCase],
        training: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(path)
        self.generator = generator
        self.critics = (critics[0], critics[1])
        self.preprocessing = store.preprocessing
        self.target_windows = typical_windows(training_cases, store.preprocessing.modalities)
        self.intensity_profiles = intensity_profiles(store, training_cases)
        histograms = mean_over_patients(patient_histograms(store, training_cases))
        self.reference_histograms = {modality: histogram.shares for modality, histogram in histograms.items()}
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
        if engine.below_copy:
            made[BELOW_COPY] = list(engine.below_copy)
        translator = TranslatorModel(
            self.generator,
            self.preprocessing,
            target_windows=self.target_windows,
            source_errors=engine.source_errors,
            intensity_profiles=self.intensity_profiles,
            reference_histograms=self.reference_histograms,
            critics=self.critics,
            training=made,
        )
        save_translator(self.path, translator)
        drop_other_model(self.path)
        score = f"{name} {value:.4f} on {engine.scored_on}"
        _logger.info("epoch %d: %s is the best so far, saved %s", engine.state.epoch, score, self.path)


def typical_windows(
    cases: Sequence[SlicedCase], modalities: ModalitySet = FOUR_MODALITIES
) -> dict[Modality, IntensityWindow]:
    """Return the median intensity window of each modality that the cases have, in file units."""
    windows: dict[Modality, IntensityWindow] = {}
    for modality in modalities:
        known = [case.windows[modality] for case in cases if modality in case.windows]
        if known:
            windows[modality] = IntensityWindow(
                median(window.lower for window in known), median(window.upper for window in known)
            )
    return windows


class SaveBestSegmenter(BestSoFar):
    """After each validation, save the network when the validator's key metric is the best so far.

    Args:
        path: the model file, replaced atomically.
        network: the network that was validated.
        arguments: constructor arguments of the MONAI UNet, as plain data.
        preprocessing: what the network was fed with.
        modalities: its input channels.
    """

    def __init__(
        self,
        path: str | Path,
        network: nn.Module,
        *,
        arguments: Mapping[str, Any],
        preprocessing: Preprocessing,
        modalities: Sequence[Modality | str] = FOUR_MODALITIES,
    ) -> None:
        super().__init__(path)
        self.network = network
        self.arguments = dict(arguments)
        self.preprocessing = preprocessing
        self.modalities = tuple(map(Modality.named, modalities))

    def attach(self, engine: Engine) -> None:
        """Register on the validator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save the network when it is the best so far."""
        value = float(engine.state.metrics[engine.state.key_metric_name])  # type: ignore[attr-defined]
        if not self.is_better(value):
            return
        save_segmenter(
            self.path, Segmenter(self.network, self.preprocessing, arguments=self.arguments, modalities=self.modalities)
        )
        drop_other_model(self.path)
        _logger.info("epoch %d: mean Dice %.4f is the best so far, saved %s", engine.state.epoch, value, self.path)
