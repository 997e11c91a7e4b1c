"""The progress bar counts iterations, shows losses, and is closed however the training ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ignite.engine import Engine

from utad_monai.handlers import TrainingProgress, progress


class Bar:
    """What a progress bar was told."""

    made: list[Bar]

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.n = arguments["initial"]
        self.texts: list[str] = []
        self.closed = 0
        Bar.made.append(self)

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        assert not refresh
        self.texts.append(text)

    def update(self, count: int) -> None:
        self.n += count

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    Bar.made = []
    monkeypatch.setattr(progress, "tqdm", Bar)
    return Bar.made


def make_engine(step: Callable[..., Any]) -> Engine:
    engine = Engine(step)
    TrainingProgress("Training the teacher").attach(engine)
    return engine


def test_bar_counts_every_iteration_of_the_whole_run(bars: list[Bar]) -> None:
    make_engine(lambda *_: {"loss": 1.0, "critic_loss": -2.0}).run([0, 0, 0], max_epochs=2)
    (bar,) = bars
    assert (bar.arguments["total"], bar.n, bar.closed) == (6, 6, 1)
    assert bar.arguments["desc"] == "Training the teacher"
    assert bar.texts[-1] == "loss 1.000, critic_loss -2.000"


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_bar_is_closed_and_the_error_surfaces(bars: list[Bar], error: type[BaseException]) -> None:
    def fail(engine: Engine, _batch: int) -> dict[str, float]:
        if engine.state.iteration == 2:
            raise error("original")
        return {"loss": 1.0}

    with pytest.raises(error, match="original"):
        make_engine(fail).run([0, 0, 0], max_epochs=1)
    (bar,) = bars
    assert bar.n == 1
    assert bar.closed


@pytest.mark.parametrize(("output", "text"), [([{"loss": 0.5}], "loss 0.500"), ([], ""), (None, ""), ({"a": 1}, "")])
def test_outputs_of_other_trainers_are_understood(bars: list[Bar], output: Any, text: str) -> None:
    make_engine(lambda *_: output).run([0], max_epochs=1)
    assert bars[0].texts == [text]


def test_resumed_training_starts_at_its_iteration(bars: list[Bar]) -> None:
    engine = make_engine(lambda *_: {"loss": 1.0})
    engine.load_state_dict({"iteration": 4, "epoch_length": 2, "max_epochs": 3})
    engine.run([0, 0], max_epochs=3)
    assert bars[0].arguments["initial"] == 4
    assert bars[0].n == bars[0].arguments["total"] == 6


def test_a_run_with_a_time_budget_has_no_known_length(bars: list[Bar]) -> None:
    trainer = Engine(lambda _engine, _batch: {})
    TrainingProgress("Training", minutes=3).attach(trainer)
    trainer.run([0, 1], max_epochs=2)
    assert bars[0].arguments["total"] is None
    assert bars[0].n == 4
