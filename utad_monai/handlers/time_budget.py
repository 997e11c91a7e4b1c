"""Stop a training after so many minutes: the other way to give methods of a study the same budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ignite.engine import Engine, Events

from utad_monai.distributed import world_size


class TimeBudget:
    """End a training with the first epoch that completes after the budget is spent.

    It counts wall-clock time from the start of the run, validation included. Attach it before the handlers that act on
    a run's last epoch (`RegularValidation`), so that they see that it is the last.

    Args:
        minutes: the budget; 0 for none.
        clock: gives seconds.

    Raises:
        ValueError: when the budget is negative, or given to several processes, which would stop at different epochs.
    """

    def __init__(self, minutes: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        if minutes < 0:
            raise ValueError(f"minutes must not be negative, got {minutes}")
        if minutes and world_size() > 1:
            raise ValueError("a budget in minutes is for one process; give several processes a number of epochs")
        self.minutes = minutes
        self._clock = clock
        self._begin: float | None = None

    def spent(self) -> float:
        """Return the share of the budget that is spent, from 0; always 0 without a budget or before the run."""
        if not self.minutes or self._begin is None:
            return 0.0
        return (self._clock() - self._begin) / (60 * self.minutes)

    def state_dict(self) -> dict[str, float]:
        """Return the seconds that were used."""
        return {"seconds": 0.0 if self._begin is None else self._clock() - self._begin}

    def load_state_dict(self, state_dict: Mapping[str, float]) -> None:
        """Count the seconds of an earlier run; the time between both does not count."""
        self._begin = self._clock() - state_dict["seconds"]

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _start(self, _: Engine) -> None:
        self._begin = self._clock()

    def __call__(self, engine: Engine) -> None:
        """End the run when the budget is spent."""
        if self.spent() >= 1:
            engine.terminate()
