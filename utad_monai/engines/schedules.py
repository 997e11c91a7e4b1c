"""Learning-rate schedules."""

from __future__ import annotations

from collections.abc import Callable

from torch.optim import Optimizer
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
