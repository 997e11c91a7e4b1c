"""The handlers of every training, in the order in which they run, and what a training state holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine
from monai.handlers import LrScheduleHandler, TensorBoardStatsHandler
from torch import nn

from utad_monai.engines import Optimisation, adam_with_decay
from utad_monai.handlers import (
    GeneratorAverage,
    HealthMonitor,
    LateCritics,
    RegularValidation,
    StopOnNonFinite,
    TimeBudget,
    TrainingCurves,
    TrainingHistory,
    TrainingProgress,
    flat,
    stateful_parts,
    training_handlers,
)
from utad_monai.networks import TumourAwareGenerator

GENERATOR = TumourAwareGenerator(2)


def optimisation(generator: nn.Module = GENERATOR) -> Optimisation:
    networks = {"generator": [generator], "critic": [nn.Linear(2, 2), nn.Linear(3, 1)]}
    return adam_with_decay(networks=networks, learning_rate=1e-3, betas=[0.5, 0.9], max_epochs=4, decay_epochs=2)


def handlers(folder: Path, **options: Any) -> list[Any]:
    validator: Any = Engine(lambda *_: None)
    return training_handlers(
        description="Training",
        stage_dir=folder,
        validator=validator,
        val_interval=2,
        average=GeneratorAverage(GENERATOR, 0.9),
        optimisation=optimisation(),
        time_budget=TimeBudget(3.0),
        **options,
    )


def test_history_is_written_after_the_validation_that_it_records(tmp_path: Path) -> None:
    kinds = [type(one) for one in handlers(tmp_path)]
    assert kinds == [
        GeneratorAverage,
        StopOnNonFinite,
        LrScheduleHandler,
        LrScheduleHandler,
        TimeBudget,
        RegularValidation,
        TensorBoardStatsHandler,
        TrainingHistory,
        TrainingCurves,
        HealthMonitor,
        TrainingProgress,
    ]
    assert HealthMonitor not in [type(one) for one in handlers(tmp_path, health=False)]


def test_state_holds_networks_optimisers_schedules_and_what_handlers_know(tmp_path: Path) -> None:
    made = optimisation()
    parts = stateful_parts(
        networks={"generator": GENERATOR}, optimisation=made, handlers=[LateCritics(3), handlers(tmp_path)]
    )
    names = ["average", "critic_optimizer", "critic_schedule", "generator", "generator_optimizer"]
    assert sorted(parts) == [*names, "generator_schedule", "health", "history", "time_budget", "validation"]
    assert parts["critic_schedule"] is made.schedules["critic"]


def test_handler_of_a_users_own_is_saved_too_and_none_hides_another() -> None:
    class Counting:
        def load_state_dict(self, _: Any) -> None: ...

    counting = Counting()
    parts = stateful_parts(networks={}, optimisation=optimisation(), handlers=[counting])
    assert parts["Counting"] is counting
    with pytest.raises(ValueError, match="two handlers of a training have the state 'Counting'"):
        stateful_parts(networks={}, optimisation=optimisation(), handlers=[counting, Counting()])


def test_lists_inside_lists_are_one_list() -> None:
    assert flat([1, [2, (3, [])], 4]) == [1, 2, 3, 4]


def test_networks_of_one_name_share_an_optimiser() -> None:
    weights = [group["params"] for group in optimisation().optimizers["critic"].param_groups]
    assert [len(one) for one in weights] == [4]
