"""Watch the health of an adversarial training: say early, in the log and in a table, what usually goes wrong."""

from __future__ import annotations

import logging
import math
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from utad_monai.engines.generator_trainer import TranslationEvents
from utad_monai.engines.translation_trainer import TranslationTrainer
from utad_monai.keys import LossTerm
from utad_monai.losses.adversarial import realness_as
from utad_monai.models.stages import HEALTH_FILE
from utad_monai.networks import Judgement
from utad_monai.runtime.files import write_table

_logger = logging.getLogger(__name__)
_KEPT_BATCHES = 8
"""So many of an epoch's last batches are shown to the critic at its end."""
_COLUMN = "warnings"

Measures = Mapping[str, float]


@dataclass(frozen=True)
class HealthCheck:
    """One thing that can go wrong.

    Attributes:
        name: how tables call it.
        needs: the measures that it looks at.
        wrong: whether an epoch's measures show it.
        advice: what it means and what to do.
    """

    name: str
    needs: tuple[str, ...]
    _: KW_ONLY
    wrong: Callable[[Measures], bool]
    advice: str


CHECKS = (
    HealthCheck(
        "critics_run_away",
        ("critic_gap", "gradient_penalty"),
        wrong=lambda m: m["critic_gap"] > 1 or m["gradient_penalty"] > 5,
        advice="the critics tell real from fake by more than images can differ, so the generator learns nothing: lower "
        "learning_rate or raise loss_weights::gradient_penalty",
    ),
    HealthCheck(
        "critics_outrun",
        ("critic_gap",),
        wrong=lambda m: m["critic_gap"] < -0.02,
        advice="the critics take fakes for more real than real images, so they cannot teach: raise critic_steps",
    ),
    HealthCheck(
        "wrong_modality",
        ("real_accuracy", "fake_accuracy"),
        wrong=lambda m: m["real_accuracy"] > 0.8 and m["fake_accuracy"] < 0.4,
        advice="the critic knows the modalities but does not find the asked one in translations (0.25 is chance): "
        "raise loss_weights::modality, or set condition_in_brain",
    ),
    HealthCheck(
        "copies_input",
        ("identity_copy",),
        wrong=lambda m: m["identity_copy"] > 0.9,
        advice="translations are copies of their input (1 is a perfect copy): set condition_in_brain, lower "
        "loss_weights::cycle, or train longer",
    ),
    HealthCheck(
        "target_ignored",
        ("variety_of_targets",),
        wrong=lambda m: m["variety_of_targets"] < 0.1,
        advice="translations to different modalities look alike (mode collapse): set condition_in_brain or raise "
        "loss_weights::modality",
    ),
    HealthCheck(
        "input_ignored",
        ("variety_of_inputs",),
        wrong=lambda m: m["variety_of_inputs"] < 0.05,
        advice="different patients get the same translation (mode collapse): raise loss_weights::cycle or lower "
        "learning_rate",
    ),
)
_VALIDATED = ("identity_copy", "variety_of_targets", "variety_of_inputs")
"""Measures that the validator gives, there with `validation_` before their names."""


class HealthMonitor:
    """Measure each epoch's health, rewrite `health.csv`, and warn once per epoch and kind of trouble.

    Nothing is learned or chosen from it. It draws nothing random, and costs one pass of a critic over a few batches in
    an epoch. A check must fail in `patience` epochs in a row in which it is measured: first epochs are never healthy.

    Args:
        folder: of the stage; receives `health.csv`.
        validator: engine whose metrics are looked at in the epochs in which it ran.
        patience: epochs in a row before a warning.
    """

    def __init__(self, folder: str | Path, validator: Engine, *, patience: int = 3) -> None:
        self.path = Path(folder) / HEALTH_FILE
        self.validator = validator
        self.patience = patience
        self.rows: list[dict[str, Any]] = []
        self._failed: dict[str, int] = defaultdict(int)
        self._sums: dict[str, float] = defaultdict(float)
        self._last: deque[tuple[Tensor, Tensor, Tensor, Tensor]] = deque(maxlen=_KEPT_BATCHES)

    def attach(self, engine: TranslationTrainer) -> None:
        """Register on the trainer; attach it after the handler that runs the validation."""
        engine.add_event_handler(TranslationEvents.CRITICS_UPDATED, self._keep)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far, and what the current epoch left to measure."""
        return {
            "rows": [dict(row) for row in self.rows],
            "failed": dict(self._failed),
            "sums": dict(self._sums),
            "last": [list(batch) for batch in self._last],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with the rows and the epoch of an earlier run."""
        self.rows = [dict(row) for row in state_dict["rows"]]
        self._failed = defaultdict(int, state_dict["failed"])
        self._sums = defaultdict(float, state_dict["sums"])
        self._last = deque((tuple(batch) for batch in state_dict["last"]), maxlen=_KEPT_BATCHES)

    def _keep(self, engine: TranslationTrainer) -> None:
        if engine.translation is not None and engine.translation_batch is not None:
            batch = engine.translation_batch
            fake = engine.translation.image.detach()
            self._last.append((fake, batch.target_modality, batch.source_image, batch.source_modality))

    def _add(self, engine: TranslationTrainer) -> None:
        output: Any = engine.state.output
        nan = float("nan")  # of critics that rest, and of games without a penalty
        self._sums["gap"] -= output.get(LossTerm.CRITIC_REAL, nan) + output.get(LossTerm.CRITIC_FAKE, nan)
        self._sums["penalty"] += output.get(LossTerm.CRITIC_GRADIENT_PENALTY, nan)
        self._sums["iterations"] += 1

    def __call__(self, engine: TranslationTrainer) -> None:
        """Measure the epoch, warn, and write the table."""
        last = self._judge_last(engine)
        measures = self._balance(engine, last) | _accuracies(last) | self._validation(engine)
        wrong = []
        for check in CHECKS:
            if any(math.isnan(measures[name]) for name in check.needs):
                continue  # not measured in this epoch
            self._failed[check.name] = self._failed[check.name] + 1 if check.wrong(measures) else 0
            if self._failed[check.name] >= self.patience:
                wrong.append(check.name)
                _logger.warning("epoch %d: %s: %s", engine.state.epoch, check.name.replace("_", " "), check.advice)
        self.rows.append({"epoch": engine.state.epoch, **measures, _COLUMN: " ".join(wrong)})
        self._sums.clear()
        self._last.clear()
        write_table(self.path, pandas.DataFrame(self.rows))

    def _balance(self, engine: TranslationTrainer, last: _Judged | None) -> dict[str, float]:
        """Return the mean gap between real and fake as a share of the largest honest one, and the mean penalty.

        A loss without a largest gap has its gap measured in the last batches (`AdversarialLoss.largest_gap`).
        """
        iterations = self._sums["iterations"] or 1.0
        critics = 1 if engine.translation is None or engine.translation.tumour_image is None else 2
        penalty = self._sums["penalty"] / iterations / critics
        largest = engine.adversarial_loss.largest_gap(engine.whole_critic.image_size, engine.whole_critic.layers)
        gap = _gap_in_last_batches(last) if largest is None else self._sums["gap"] / iterations / critics / largest
        return {"critic_gap": gap, "gradient_penalty": penalty}

    @torch.no_grad()
    def _judge_last(self, engine: TranslationTrainer) -> _Judged | None:
        """Return what the whole-image critic says of the epoch's last batches, in one pass; None without any."""
        if not self._last:
            return None
        fake, target, real, source = (torch.cat(list(column)) for column in zip(*self._last, strict=True))
        return _Judged(engine.whole_critic(fake), target, engine.whole_critic(real), source)

    def _validation(self, engine: Engine) -> dict[str, float]:
        ran = self.validator.state.epoch == engine.state.epoch
        metrics = self.validator.state.metrics if ran else {}
        return {name: float(metrics.get(f"validation_{name}", float("nan"))) for name in _VALIDATED}


class _Judged(NamedTuple):
    """Fakes of the target modality `(B,)` and real images of the source modality `(B,)`, as a critic judges them."""

    fake: Judgement
    target: Tensor
    real: Judgement
    source: Tensor


def _gap_in_last_batches(last: _Judged | None) -> float:
    """Return how much more real real images are than fakes: 1 when the critic never errs."""
    if last is None:
        return float("nan")
    return float(realness_as(last.real, last.source).mean() - realness_as(last.fake, last.target).mean())


def _accuracies(last: _Judged | None) -> dict[str, float]:
    """Return how often the critic finds the right modality in fakes and in real images."""
    if last is None:
        return {"fake_accuracy": float("nan"), "real_accuracy": float("nan")}
    return {
        "fake_accuracy": float((last.fake.modality_logits.argmax(1) == last.target).float().mean()),
        "real_accuracy": float((last.real.modality_logits.argmax(1) == last.source).float().mean()),
    }
