"""Validate every few epochs, and always at the end: a run never finishes without a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Evaluator

_BEST = ("best_metric", "best_metric_epoch")


class RegularValidation:
    """Run the validator every `interval` epochs and after the last one.

    MONAI's `ValidationHandler` skips the last epoch when it is no multiple of the interval; what was trained since the
    last validation, or everything in a short run, would then never be saved.

    Args:
        validator: runs with the trainer's epoch.
        interval: epochs between validations.

    Raises:
        ValueError: when the interval is less than 1.
    """

    def __init__(self, validator: Evaluator, interval: int = 1) -> None:
        if interval < 1:
            raise ValueError(f"the interval must be at least 1 epoch, got {interval}")
        self.validator = validator
        self.interval = interval

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def state_dict(self) -> dict[str, Any]:
        """Return the validator's best metric and its epoch."""
        return {name: getattr(self.validator.state, name) for name in _BEST}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with the best metric of an earlier run."""
        for name in _BEST:
            setattr(self.validator.state, name, state_dict[name])

    def __call__(self, engine: Engine) -> None:
        """Validate when it is time."""
        epoch = engine.state.epoch
        last = epoch == engine.state.max_epochs or engine.should_terminate
        if epoch % self.interval == 0 or last:
            self.validator.run(epoch)
