"""An exponential moving average of the generator: steadier translations than the last step's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler

from utad_monai.networks import TumourAwareGenerator

_WARMUP_MOMENTUM = 0.2
_WARMUP_ITERATIONS = 100


class GeneratorAverage:
    """Keep `network`, the average of a generator's weights, or the generator itself when it is switched off.

    Args:
        generator: the network in training.
        decay: share of the old average that is kept in each iteration, in [0, 1); 0 switches the average off, as in
            the paper.

    Raises:
        ValueError: when `decay` is outside [0, 1).
    """

    def __init__(self, generator: TumourAwareGenerator, decay: float = 0.0) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        self._handler: EMAHandler | None = None
        self.network = generator
        if decay > 0:
            self._handler = EMAHandler(generator, 1 - decay, _WARMUP_MOMENTUM, _WARMUP_ITERATIONS)
            self.network = self._handler.ema_model  # type: ignore[assignment]

    def state_dict(self) -> dict[str, Any]:
        """Return the average's weights and how often it was updated; nothing when it is switched off."""
        if self._handler is None:
            return {}
        return {"network": self.network.state_dict(), "updates": self._warmup.event_index}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with the average of an earlier run."""
        if self._handler is not None:
            self.network.load_state_dict(state_dict["network"])
            self._warmup.event_index = state_dict["updates"]

    @property
    def _warmup(self) -> Any:
        """What counts the updates, and lets the average follow faster in the first ones."""
        return None if self._handler is None else self._handler.momentum_scheduler

    def attach(self, engine: Engine) -> None:
        """Update the average after every iteration."""
        if self._handler is not None:
            self._handler.attach(engine, event=Events.ITERATION_COMPLETED)
