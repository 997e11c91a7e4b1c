"""The learning rate is constant first and then falls on a straight line."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.optim import Adam

from utad_monai.engines import linear_decay


def rates(max_epochs: int, decay_epochs: int, initial: float = 1e-4, final: float = 1e-6) -> list[float]:
    optimizer = Adam([torch.nn.Parameter(torch.zeros(1))], lr=initial)
    schedule = linear_decay(optimizer, max_epochs, decay_epochs, final)
    seen = []
    for _ in range(max_epochs + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_rate_is_constant_then_falls_linearly_to_the_final_rate() -> None:
    seen = rates(max_epochs=8, decay_epochs=4)
    assert seen[:5] == [1e-4] * 5
    assert seen[8] == pytest.approx(1e-6, rel=1e-6)
    steps = [before - after for before, after in pairwise(seen[4:])]
    assert steps == pytest.approx([(1e-4 - 1e-6) / 4] * 4, rel=1e-6)


def test_no_decay_keeps_the_rate() -> None:
    assert rates(max_epochs=3, decay_epochs=0) == [1e-4] * 4


def test_decay_may_last_the_whole_training() -> None:
    seen = rates(max_epochs=4, decay_epochs=4)
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == 1e-4
    assert seen[2] == pytest.approx((1e-4 + 1e-6) / 2)


def test_rate_never_rises_when_the_final_rate_is_higher() -> None:
    assert rates(max_epochs=4, decay_epochs=2, initial=1e-4, final=1e-2) == pytest.approx([1e-4] * 5)


def test_time_lowers_the_rate_as_epochs_do_and_the_further_one_decides() -> None:
    optimizer = Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    spent = 0.0
    schedule = linear_decay(optimizer, 1000, 500, 1e-6, lambda: spent)
    seen = []
    for spent in (0.25, 0.5, 0.75, 1.2):  # noqa: B007 (the schedule reads it)
        optimizer.step()
        schedule.step()
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([1e-4, 1e-4, (1e-4 + 1e-6) / 2, 1e-6], rel=1e-5)


@pytest.mark.parametrize("decay_epochs", [-1, 5])
def test_decay_outside_the_training_is_refused(decay_epochs: int) -> None:
    with pytest.raises(ValueError, match=rf"got {decay_epochs} of 4"):
        rates(max_epochs=4, decay_epochs=decay_epochs)
