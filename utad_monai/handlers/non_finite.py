"""Stop a training that has gone wrong, within the iteration in which it did."""

from __future__ import annotations

import math

from ignite.engine import Engine, Events

from utad_monai.engines.translation_trainer import TranslationTrainer


class NonFiniteLossError(FloatingPointError):
    """A loss became NaN or infinite; the text names the terms and the batch's cases."""


class StopOnNonFinite:
    """Raise as soon as a loss term is NaN or infinite; the last saved model stays as it is."""

    def attach(self, engine: Engine) -> None:
        """Check after every iteration."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Check the output of the iteration that just ended.

        Raises:
            NonFiniteLossError: naming terms, iteration and cases.
        """
        damaged = sorted(str(name) for name, value in engine.state.output.items() if not math.isfinite(value))  # type: ignore[union-attr]
        if damaged:
            cases = _cases(engine)
            raise NonFiniteLossError(
                f"iteration {engine.state.iteration}: {', '.join(damaged)} became NaN or infinite on cases {cases}; "
                "lower the learning rate, or look at these images"
            )


def _cases(engine: Engine) -> str:
    if isinstance(engine, TranslationTrainer) and engine.translation_batch is not None:
        return ", ".join(sorted(set(engine.translation_batch.case_ids)))
    return "unknown"
