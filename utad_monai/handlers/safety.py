"""What stops a training: values that are not finite, and time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import Tensor, nn

from utad_monai.engines.translation_trainer import TranslationTrainer
from utad_monai.errors import UserError
from utad_monai.keys import BatchKey
from utad_monai.runtime.parallel import world_size


class NonFiniteLossError(UserError, FloatingPointError):
    """A loss or a weight became NaN or infinite; the text names what did and the batch's cases."""


class StopOnNonFinite:
    """Raise as soon as a loss, or a weight that it moved, is NaN or infinite; the last saved model stays as it is.

    A gradient that is not finite makes its weight so in the same step. One pass over the weights finds it: NaN and
    infinity survive in their norm.
    """

    def attach(self, engine: Engine) -> None:
        """Check after every iteration."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Check the output and the networks of the iteration that just ended.

        Raises:
            NonFiniteLossError: naming losses or weights, iteration and cases.
        """
        damaged = sorted({name for name, value in _losses(engine.state.output) if not math.isfinite(value)})
        damaged = damaged or damaged_weights(_networks(engine))
        if damaged:
            shown = ", ".join(damaged[:10]) + (f" and {len(damaged) - 10} more" if len(damaged) > 10 else "")
            raise NonFiniteLossError(
                "",
                f"iteration {engine.state.iteration}: {shown} became NaN or infinite on cases {_cases(engine)}",
                remedy="lower the learning rate, or look at these images",
            )


def damaged_weights(networks: Mapping[str, nn.Module]) -> list[str]:
    """Return the names of weights and statistics that are NaN or infinite; the sound case costs one pass."""
    named = [(f"{name}.{key}", value) for name, network in networks.items() for key, value in _floating(network)]
    if not named or bool(torch.isfinite(_total_norm([value for _, value in named]))):
        return []
    return [name for name, value in named if not bool(torch.isfinite(value).all())]


def _floating(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters and buffers as they are: a state dict would copy its book-keeping."""
    yield from network.named_parameters()
    yield from ((name, value) for name, value in network.named_buffers() if value.is_floating_point())


@torch.no_grad()
def _total_norm(weights: list[Tensor]) -> Tensor:
    """Return a norm of all weights, which is NaN or infinite when any weight is (and may overflow otherwise)."""
    return torch.nn.utils.get_total_norm(weights)


def _losses(output: Any) -> list[tuple[str, float]]:
    if isinstance(output, list):  # MONAI's supervised trainer decollates its output
        return [pair for item in output for pair in _losses({"loss": item.get("loss", 0.0)})]
    return [(str(name), float(value)) for name, value in (output or {}).items()]


def _networks(engine: Engine) -> dict[str, nn.Module]:
    if isinstance(engine, TranslationTrainer):
        names = ("generator", "whole_critic", "tumour_critic")
        return {name: getattr(engine, name) for name in names}
    return {"network": engine.network} if isinstance(engine, SupervisedTrainer) else {}


def _cases(engine: Engine) -> str:
    batch: Any = engine.state.batch
    samples = batch if isinstance(batch, list) else [batch]  # MONAI decollates what it was given, too
    cases = [name for sample in samples if isinstance(sample, Mapping) for name in _names(sample)]
    return ", ".join(sorted(set(cases))) or "unknown"


def _names(sample: Mapping[str, Any]) -> list[str]:
    names = sample.get(BatchKey.CASE_ID, ())
    return [names] if isinstance(names, str) else list(map(str, names))


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
