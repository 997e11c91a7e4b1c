"""One progress bar for a whole training run, with the time left."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from tqdm import tqdm

from utad_monai.keys import OutputKey


class TrainingProgress:
    """Show iterations done, iterations to do and the current losses on one line.

    Args:
        description: what is being trained.
        minutes: time budget of the run; with one, how many iterations there will be is not known.
    """

    def __init__(self, description: str, minutes: float = 0.0) -> None:
        self.description = description
        self.minutes = minutes
        self._bar: tqdm[Any] | None = None

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _open(self, engine: Engine) -> None:
        total = None if self.minutes else (engine.state.max_epochs or 1) * (engine.state.epoch_length or 1)
        self._bar = tqdm(total=total, initial=engine.state.iteration, desc=self.description, unit="it", mininterval=0.5)

    def _advance(self, engine: Engine) -> None:
        if self._bar is not None:
            losses = _losses(engine)
            self._bar.set_postfix_str(losses, refresh=False)
            self._bar.update(engine.state.iteration - self._bar.n)  # a resumed run begins further on

    def _close(self, _: Engine) -> None:
        if self._bar is not None:
            self._bar.close()

    def _fail(self, engine: Engine, error: BaseException) -> None:
        self._close(engine)
        raise error


def _losses(engine: Engine) -> str:
    output: Any = engine.state.output
    if isinstance(output, list):  # MONAI's supervised trainer decollates its output
        output = output[0] if output else {}
    if not isinstance(output, dict):
        return ""
    shown = (OutputKey.LOSS, OutputKey.CRITIC_LOSS)
    return ", ".join(f"{name} {float(output[name]):.3f}" for name in shown if name in output)
