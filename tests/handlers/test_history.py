"""The history has one line per epoch: means of the losses, and the validation where it ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import pytest
from ignite.engine import Engine, Events

from utad_monai.handlers import TrainingHistory


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
