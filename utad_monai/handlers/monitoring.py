"""What a training shows of itself: history, progress, trackers."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas
from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler

from utad_monai.keys import OutputKey
from utad_monai.runtime.files import write_table
from utad_monai.runtime.progress import StageBar

_logger = logging.getLogger(__name__)
_SHOWN = (OutputKey.LOSS, OutputKey.CRITIC_LOSS)
"""The losses that a line has room for."""
_ASIDE = "validation_"
"""How scores begin that a line has no room for."""


def scalars(output: Mapping[str, float]) -> dict[str, float]:
    """Return the output of a `TranslationTrainer` iteration with plain string keys."""
    return {str(name): float(value) for name, value in output.items()}


class TrainingHistory:
    """Average the loss terms of each epoch, add the validation metrics, and rewrite `history.csv`.

    Args:
        path: the CSV file; one row per epoch.
        validator: engine whose metrics are recorded at the epochs in which it ran; None for none.
    """

    def __init__(self, path: str | Path, validator: Engine | None = None) -> None:
        self.path = Path(path)
        self.validator = validator
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, float] = defaultdict(float)

    def attach(self, engine: Engine) -> None:
        """Register on the trainer; attach it after the handler that runs the validation."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _add(self, engine: Engine) -> None:
        for name, value in _losses(engine.state.output).items():
            self._sums[name] += value

    def __call__(self, engine: Engine) -> None:
        """Write the epoch's row, and a line of it to the log."""
        length = engine.state.epoch_length or 1
        row = {"epoch": engine.state.epoch, "iteration": engine.state.iteration}
        losses = {name: value / length for name, value in self._sums.items()}
        scores = self._validation(engine)
        self.rows.append(row | losses | scores)
        self._sums.clear()
        write_table(self.path, pandas.DataFrame(self.rows))
        said = {str(name): losses[name] for name in _SHOWN if name in losses}
        said |= {name: value for name, value in scores.items() if not name.startswith(_ASIDE)}
        text = ", ".join(f"{name} {value:.4g}" for name, value in said.items())
        _logger.info("epoch %d of %s: %s", engine.state.epoch, engine.state.max_epochs, text)

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far and the sums of the current epoch."""
        return {"rows": [dict(row) for row in self.rows], "sums": dict(self._sums)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with the rows and sums of an earlier run; the file is rewritten at the end of the epoch."""
        self.rows = [dict(row) for row in state_dict["rows"]]
        self._sums = defaultdict(float, state_dict["sums"])

    def _validation(self, engine: Engine) -> dict[str, float]:
        if self.validator is None or self.validator.state.epoch != engine.state.epoch:
            return {}
        return {name: float(value) for name, value in self.validator.state.metrics.items()}


class TrainingProgress:
    """Show iterations done, iterations to do and the current losses on one line, and validations while they run.

    Args:
        description: what is being trained.
        minutes: time budget of the run; with one, how many iterations there will be is not known.
        validator: the engine of the validations; None for none.
    """

    def __init__(self, description: str, minutes: float = 0.0, *, validator: Engine | None = None) -> None:
        self.description = description
        self.minutes = minutes
        self.validator = validator
        self._bar: StageBar | None = None

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)
        if self.validator is not None:
            self.validator.add_event_handler(Events.STARTED | Events.ITERATION_COMPLETED, self._validating)

    def _open(self, engine: Engine) -> None:
        if self._bar is not None:
            return
        # at the first iteration, not at the start: only then a resumed training knows how far it was
        total = None if self.minutes else (engine.state.max_epochs or 1) * (engine.state.epoch_length or 1)
        self._bar = StageBar(self.description, total, unit="it", initial=engine.state.iteration - 1)

    def _advance(self, engine: Engine) -> None:
        if self._bar is not None:
            losses = _losses(engine.state.output)
            text = ", ".join(f"{name} {losses[name]:.3f}" for name in _SHOWN if name in losses)
            self._bar.advance_to(engine.state.iteration, text)

    def _validating(self, validator: Engine) -> None:
        if self._bar is not None:
            done, all_ = validator.state.iteration, validator.state.epoch_length
            self._bar.say(f"validating {done}/{all_}" if all_ else "validating")

    def _close(self, _: Engine) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _fail(self, engine: Engine, error: BaseException) -> None:
        self._close(engine)
        raise error


def _losses(output: Any) -> dict[str, float]:
    """Return the losses of an iteration, also of MONAI's supervised trainer, which gives one output per image."""
    if isinstance(output, list):
        first = output[0] if output else {}
        output = {OutputKey.LOSS: first[OutputKey.LOSS]} if OutputKey.LOSS in first else {}
    return scalars(output) if isinstance(output, Mapping) else {}


def with_every_loss(handlers: Sequence[Any]) -> list[Any]:
    """Return handlers of a trainer, of which those that track experiments record every loss of a `TranslationTrainer`.

    MONAI adds its own tracking handler to a bundle's handlers. It expects the list of one output per image that a
    supervised trainer gives, where a `TranslationTrainer` gives one dictionary of losses per batch.
    """
    every = flat(handlers)
    for handler in every:
        if isinstance(handler, MLFlowHandler):
            handler.output_transform = partial(_losses_of_output, handler.output_transform)
    return every


def flat(handlers: Sequence[Any]) -> list[Any]:
    """Return handlers of which some are lists of handlers, as one list in the same order."""
    inside = (flat(handler) if isinstance(handler, list | tuple) else [handler] for handler in handlers)
    return [handler for part in inside for handler in part]


def _losses_of_output(of_supervised: Callable[[Any], Any], output: Any) -> Any:
    return scalars(output) if isinstance(output, Mapping) else of_supervised(output)
