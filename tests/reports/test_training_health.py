"""The report finds the health of every training of a run or study."""

from __future__ import annotations

from pathlib import Path

from utad_monai.reports.training_health import training_health


def test_every_training_that_was_watched_is_listed(tmp_path: Path) -> None:
    for folder, names in (("teacher", ["", "copies_input target_ignored"]), ("methods/stargan", ["", ""])):
        (tmp_path / folder).mkdir(parents=True)
        lines = [f"{epoch},{name}" for epoch, name in enumerate(names, start=1)]
        (tmp_path / folder / "health.csv").write_text("\n".join(["epoch,warnings", *lines]))
    (tmp_path / "student").mkdir()
    first, second = training_health(tmp_path)
    assert (first["name"], first["epochs"]) == ("teacher", 2)
    assert [(w["name"], w["epochs"]) for w in first["warnings"]] == [("copies input", "2"), ("target ignored", "2")]
    assert second == {"name": "stargan", "epochs": 2, "warnings": []}


def test_folder_without_trainings_has_none(tmp_path: Path) -> None:
    assert training_health(tmp_path) == []
