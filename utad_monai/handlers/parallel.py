"""Handlers of a training on several processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from torch import nn
from torch.optim import Optimizer

from utad_monai.engines.translation_trainer import TranslationTrainer
from utad_monai.handlers.distillation import DistillationHandler
from utad_monai.handlers.monitoring import flat
from utad_monai.handlers.paired import PairedSupervision, Teaching
from utad_monai.handlers.safety import StopOnNonFinite
from utad_monai.handlers.saving import GeneratorAverage
from utad_monai.handlers.starter_anchor import LateCritics, StarterAnchor
from utad_monai.networks.norms import share_batch_norm
from utad_monai.runtime.parallel import average_gradients, rank, share_weights, world_size

_EVERYWHERE = (
    DistillationHandler,
    GeneratorAverage,
    LateCritics,
    LrScheduleHandler,
    PairedSupervision,
    StarterAnchor,
    StopOnNonFinite,
    Teaching,
)
"""Handlers that change the training itself; all others (validation, pictures, tables, bars) happen once."""


def handlers_of_this_rank(handlers: Sequence[Any]) -> list[Any]:
    """Return all handlers on the first process, and elsewhere only those that change the training itself.

    Where there are several processes, one more makes them train as one.
    """
    together = [TrainAsOne()] if world_size() > 1 else []
    return together + [handler for handler in flat(handlers) if rank() == 0 or isinstance(handler, _EVERYWHERE)]


class TrainAsOne:
    """Begin with the same weights everywhere, share the statistics of BatchNorm, and step on mean gradients.

    With samples of equal number on every process, the weights are those of one process with all of them in its batch.
    """

    def attach(self, engine: Engine) -> None:
        """Register on a trainer of this project or a supervised one of MONAI; every process must do so."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Give every process the weights of the first, and let them share what they compute."""
        for network in _networks(engine):
            share_weights(network)
            share_batch_norm(network)
        if isinstance(engine, SupervisedTrainer):  # a `TranslationTrainer` averages its gradients itself
            engine.optimizer.register_step_pre_hook(_average)


def _average(optimizer: Optimizer, *_: Any) -> None:
    average_gradients(optimizer)


def _networks(engine: Engine) -> list[nn.Module]:
    if isinstance(engine, TranslationTrainer):
        return [engine.generator, engine.whole_critic, engine.tumour_critic]
    if isinstance(engine, SupervisedTrainer):
        return [engine.network]
    raise TypeError(f"{type(engine).__name__} is no trainer that several processes can share")
