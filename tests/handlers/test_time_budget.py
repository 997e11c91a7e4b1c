"""A training ends with the first epoch after its minutes are spent."""

from __future__ import annotations

import pytest
from ignite.engine import Engine

from utad_monai.handlers import TimeBudget, time_budget


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def epochs_trained(minutes: float, seconds_per_batch: float, max_epochs: int = 10) -> tuple[int, TimeBudget]:
    clock = Clock()
    budget = TimeBudget(minutes, clock)

    def step(_engine: Engine, _batch: int) -> None:
        clock.seconds += seconds_per_batch

    trainer = Engine(step)
    budget.attach(trainer)
    trainer.run([0, 1], max_epochs=max_epochs)
    return trainer.state.epoch, budget


@pytest.mark.parametrize(("seconds_per_batch", "epochs"), [(30, 2), (31, 2), (29, 3), (200, 1)])
def test_the_epoch_in_which_the_budget_ends_is_the_last(seconds_per_batch: float, epochs: int) -> None:
    trained, budget = epochs_trained(2, seconds_per_batch)
    assert trained == epochs
    assert budget.spent() >= 1


def test_without_a_budget_every_epoch_is_trained() -> None:
    trained, budget = epochs_trained(0, 1000)
    assert trained == 10
    assert budget.spent() == 0


def test_nothing_is_spent_before_the_run() -> None:
    assert TimeBudget(1, Clock()).spent() == 0


def test_a_negative_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        TimeBudget(-1)


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_budget, "world_size", lambda: 2)
    TimeBudget(0)
    with pytest.raises(ValueError, match="for one process"):
        TimeBudget(5)
