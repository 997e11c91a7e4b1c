"""TensorBoard gets plain names and floats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import TerminateOnNan
from monai.handlers import MLFlowHandler, from_engine

from utad_monai.handlers import TrainingHistory, TrainingProgress, scalars, with_every_loss
from utad_monai.keys import LossTerm, OutputKey
from utad_monai.runtime import progress


def test_names_and_values_are_plain() -> None:
    output = scalars({OutputKey.LOSS: torch.tensor(1.5), LossTerm.CYCLE: 2})  # type: ignore[dict-item]
    assert output == {"loss": 1.5, "generator/cycle": 2.0}
    assert {type(name) for name in output} == {str}
    assert {type(value) for value in output.values()} == {float}


def losses(engine: Engine, _batch: Any) -> dict[str, float]:
    return {"loss": float(engine.state.iteration), "critic_loss": 2.0}


def test_rows_are_epochs_with_the_means_of_their_iterations(tmp_path: Path) -> None:
    engine, path = Engine(losses), tmp_path / "run" / "history.csv"
    TrainingHistory(path).attach(engine)
    engine.run([0, 0, 0], max_epochs=2)
    table = pandas.read_csv(path)
    assert list(table.columns) == ["epoch", "iteration", "loss", "critic_loss"]
    assert table.to_numpy().tolist() == [[1, 3, 2.0, 2.0], [2, 6, 5.0, 2.0]]


def test_validation_is_recorded_at_the_epochs_in_which_it_ran(tmp_path: Path) -> None:
    engine, validator, path = Engine(losses), Engine(lambda *_: None), tmp_path / "history.csv"

    @engine.on(Events.EPOCH_COMPLETED(every=2))
    def validate(trainer: Engine) -> None:
        validator.state.epoch = trainer.state.epoch
        validator.state.metrics = {"unpaired_score": -trainer.state.epoch / 10}

    TrainingHistory(path, validator).attach(engine)
    engine.run([0], max_epochs=4)
    table = pandas.read_csv(path)
    assert list(table.columns) == ["epoch", "iteration", "loss", "critic_loss", "unpaired_score"]
    assert table["unpaired_score"].isna().tolist() == [True, False, True, False]
    assert table["unpaired_score"].dropna().tolist() == pytest.approx([-0.2, -0.4])


def test_file_is_complete_after_every_epoch(tmp_path: Path) -> None:
    engine, path = Engine(losses), tmp_path / "history.csv"
    TrainingHistory(path).attach(engine)
    lengths: list[int] = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: lengths.append(len(pandas.read_csv(path))))
    engine.run([0], max_epochs=3)
    assert lengths == [1, 2, 3]
    assert [entry.name for entry in tmp_path.iterdir()] == ["history.csv"]


class Bar:
    """What a progress bar was told."""

    made: list[Bar]

    def __init__(self, _jobs: None, **arguments: Any) -> None:
        self.arguments = arguments
        self.n = arguments["initial"]
        self.total = arguments["total"]
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


def test_bar_of_a_resumed_training_begins_where_the_earlier_run_ended(bars: list[Bar]) -> None:
    engine = make_engine(lambda *_: {"loss": 1.0})

    @engine.on(Events.STARTED)  # after the bar's own handlers, as the one that resumes
    def resume() -> None:
        engine.state.iteration = 3

    engine.run([0, 0, 0], max_epochs=2)
    (bar,) = bars
    assert (bar.arguments["initial"], bar.n) == (3, engine.state.iteration)


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


def test_a_validation_is_seen(bars: list[Bar]) -> None:
    validator = Engine(lambda *_: None)
    engine = Engine(lambda *_: {"loss": 1.0})
    TrainingProgress("Training", validator=validator).attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: validator.run([0, 0]))
    engine.run([0], max_epochs=1)
    assert bars[0].texts == ["loss 1.000", "validating 0/2", "validating 1/2", "validating 2/2"]


def test_an_epoch_is_a_line_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(lambda *_: [{"loss": torch.tensor(0.5), "pred": torch.zeros(2)}])
    TrainingHistory(tmp_path / "history.csv").attach(engine)
    with caplog.at_level("INFO", "utad_monai"):
        engine.run([0, 0], max_epochs=1)
    assert caplog.messages == ["epoch 1 of 1: loss 0.5"]
    assert list(pandas.read_csv(tmp_path / "history.csv").columns) == ["epoch", "iteration", "loss"]


def test_a_run_with_a_time_budget_has_no_known_length(bars: list[Bar]) -> None:
    trainer = Engine(lambda _engine, _batch: {})
    TrainingProgress("Training", minutes=3).attach(trainer)
    trainer.run([0, 1], max_epochs=2)
    assert bars[0].arguments["total"] is None
    assert bars[0].n == 4


def tracking_handler() -> MLFlowHandler:
    """Return the handler as MONAI's settings make it, without its store."""
    handler = MLFlowHandler.__new__(MLFlowHandler)
    handler.output_transform = from_engine(["loss"], first=True)
    return handler


def test_every_loss_of_a_translation_is_tracked() -> None:
    (handler,) = with_every_loss([tracking_handler()])
    assert handler.output_transform({"loss": 1, "critic_loss": 2.5}) == {"loss": 1.0, "critic_loss": 2.5}


def test_the_loss_of_a_supervised_training_is_tracked_as_before() -> None:
    (handler,) = with_every_loss([tracking_handler()])
    assert handler.output_transform([{"loss": 1.5}, {"loss": 1.5}]) == 1.5


def test_other_handlers_stay_as_they_are() -> None:
    others = [TerminateOnNan()]
    assert with_every_loss(others) == others
