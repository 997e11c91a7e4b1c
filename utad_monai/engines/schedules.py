"""Optimisers and their learning-rate schedules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR


def linear_decay(
    optimizer: Optimizer,
    max_epochs: int,
    decay_epochs: int,
    final_learning_rate: float = 1e-6,
    spent: Callable[[], float] = lambda: 0.0,
) -> LambdaLR:
    """Keep the rate constant, then lower it linearly over the last epochs; step it once per epoch.

    The paper trains 100 epochs and decays over the last 50 to 1e-6.

    Args:
        optimizer: its initial rate is the constant one; all parameter groups share it.
        max_epochs: epochs of the whole training.
        decay_epochs: epochs of the decay, 0 for none.
        final_learning_rate: rate at the end.
        spent: share of a time budget that is spent (`TimeBudget.spent`): whichever is further, epochs or time, decides.

    Raises:
        ValueError: when the decay is longer than the training.
    """
    if not 0 <= decay_epochs <= max_epochs:
        raise ValueError(f"decay_epochs must be in [0, max_epochs], got {decay_epochs} of {max_epochs}")
    initial = float(optimizer.param_groups[0]["lr"])
    floor = min(1.0, final_learning_rate / initial)

    def factor(epoch: int) -> float:
        left = max_epochs - max(epoch, spent() * max_epochs)
        return 1.0 if left >= decay_epochs or decay_epochs == 0 else floor + (1 - floor) * max(0, left) / decay_epochs

    return LambdaLR(optimizer, factor)


@dataclass(frozen=True)
class Optimisation:
    """Optimisers and learning-rate schedules of a training, by what they train.

    Attributes:
        optimizers: `generator`, and `critic` where there are critics.
        schedules: one for each optimiser; each takes a step per epoch.
    """

    optimizers: Mapping[str, Optimizer]
    schedules: Mapping[str, LambdaLR]


def adam_with_decay(
    *,
    networks: Mapping[str, Sequence[nn.Module]],
    learning_rate: float,
    betas: Sequence[float],
    max_epochs: int,
    decay_epochs: int,
    final_learning_rate: float = 1e-6,
    spent: Callable[[], float] = lambda: 0.0,
) -> Optimisation:
    """Return an Adam optimiser and its `linear_decay` for each player; networks of one name share one.

    Args:
        networks: what is trained, on its device, by name.
        learning_rate: the constant one.
        betas: of Adam.
        max_epochs: as of `linear_decay`.
        decay_epochs: as of `linear_decay`.
        final_learning_rate: as of `linear_decay`.
        spent: as of `linear_decay`.

    Raises:
        ValueError: when the decay is longer than the training.
    """
    optimizers = {
        name: Adam(
            [weight for one in group for weight in one.parameters()], lr=learning_rate, betas=(betas[0], betas[1])
        )
        for name, group in networks.items()
    }
    schedules = {
        name: linear_decay(optimizer, max_epochs, decay_epochs, final_learning_rate, spent)
        for name, optimizer in optimizers.items()
    }
    return Optimisation(optimizers, schedules)
