"""Several processes that train as one would with all their batches together."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn
from torch.optim import Optimizer

from utad_monai.distributed import average_gradients, share_weights
from utad_monai.engines.translation_trainer import TranslationTrainer
from utad_monai.networks.shared_batch_norm import share_batch_norm


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
