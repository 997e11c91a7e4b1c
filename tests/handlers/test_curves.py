"""The course of a training is a picture after each validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
from ignite.engine import Engine, Events

from utad_monai.handlers import TrainingCurves, TrainingHistory, curves, training_curves


def test_curves_show_every_recorded_term(tmp_path: Path) -> None:
    history = pandas.DataFrame(
        {
            "epoch": [1, 2, 3],
            "iteration": [5, 10, 15],
            "critic_loss": [3.0, 2, 1],
            "generator/cycle": [0.3, 0.2, 0.1],
            "unpaired_score": [np.nan, -0.5, -0.4],
        }
    )
    figure = training_curves(history)
    assert [len(axis.lines) for axis in figure.axes] == [1, 1, 1]
    assert len(figure.axes[2].lines[0].get_xdata()) == 2
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 2000


def test_what_was_not_recorded_has_no_panel() -> None:
    figure = training_curves(pandas.DataFrame({"epoch": [1], "iteration": [3], "loss": [0.5]}))
    assert [axis.get_title() for axis in figure.axes] == ["losses"]


def trained(folder: Path) -> None:
    """Train four epochs, the second and the fourth of them validated."""
    engine, validator = Engine(lambda *_: {"loss": 1.0}), Engine(lambda *_: None)

    @engine.on(Events.EPOCH_COMPLETED(every=2))
    def validate(trainer: Engine) -> None:
        validator.state.epoch = trainer.state.epoch
        validator.state.metrics = {"score": 0.5}

    history = TrainingHistory(folder / "history.csv", validator)
    history.attach(engine)
    TrainingCurves(folder, history, validator=validator).attach(engine)
    engine.run([0], max_epochs=3)


def test_a_picture_is_written_after_a_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(curves, "write_curves", lambda path, rows: drawn.append(len(rows)) or path.touch())
    trained(tmp_path)
    assert drawn == [2]
    assert (tmp_path / "progress.png").is_file()


def test_without_matplotlib_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(curves.importlib.util, "find_spec", lambda _name: None)
    curves._can_draw.cache_clear()
    with caplog.at_level("INFO", "utad_monai.handlers.curves"):
        trained(tmp_path)
        trained(tmp_path)
    curves._can_draw.cache_clear()
    said = [message for message in caplog.messages if "matplotlib" in message]
    assert said == ["no progress.png is drawn: matplotlib is not installed"]
    assert not (tmp_path / "progress.png").exists()
