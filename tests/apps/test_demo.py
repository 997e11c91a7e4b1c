"""The demonstration runs the packaged bundles in order; the bundles themselves are tested end to end."""

from __future__ import annotations

from collections import ChainMap
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from utad_monai.apps.demo import run_demo
from utad_monai.models.stages import Stage


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    recorded: list[dict[str, Any]] = []
    monkeypatch.setattr("utad_monai.apps.demo.run_bundle", lambda **arguments: recorded.append(arguments))
    monkeypatch.setattr("utad_monai.apps.demo.write_preview", lambda output, _cohort: Path(output) / "preview.png")
    return recorded


def test_stages_run_in_the_order_in_which_they_need_each_other(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    run_demo(tmp_path, dataset_dir="cohort")
    names = [Path(call["config_file"][0]).stem for call in calls]
    assert names == ["segmentation", "teacher", "student", "inference", "evaluate"]
    assert [call["run_id"] for call in calls] == ["training"] * 3 + ["run"] * 2


def test_every_stage_gets_the_small_overlay_and_the_same_places(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    run_demo(tmp_path, dataset_dir="cohort")
    assert {Path(call["config_file"][1]).name for call in calls} == {"demo.json"}
    assert all(Path(file).is_file() for call in calls for file in call["config_file"])
    assert {(call["dataset_dir"], call["output_dir"]) for call in calls} == {("cohort", str(tmp_path))}


def test_without_a_cohort_the_phantom_is_used(
    tmp_path: Path, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utad_monai.apps.demo.default_dataset_dir", lambda: "phantom")
    run_demo(tmp_path)
    assert {call["dataset_dir"] for call in calls} == {"phantom"}


def test_it_ends_with_where_everything_is(
    tmp_path: Path,
    calls: list[dict[str, Any]],  # noqa: ARG001  (nothing is trained here)
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_demo(tmp_path, dataset_dir="cohort")
    written = capsys.readouterr().out
    assert "Done in" in written
    for stage in (Stage.TEACHER, Stage.STUDENT, Stage.SEGMENTATION):
        assert str(tmp_path / stage / "model.safetensors") in written
    assert str(tmp_path / "evaluation" / "summary.json") in written
    assert f"next: utad-monai report {tmp_path} --dataset cohort\n" in written
    assert f"utad-monai complete cohort --model {tmp_path / 'student' / 'model.safetensors'}" in written
    assert written.splitlines()[-1] == str(tmp_path / "preview.png")


def test_teacher_and_student_start_from_the_starter_weights(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    run_demo(tmp_path, dataset_dir="cohort")
    given = {Path(call["config_file"][0]).stem: call for call in calls}
    assert "start_weights" not in given["teacher"]
    files = [ConfigParser.load_config_file(file) for file in given["teacher"]["config_file"]]
    assert ChainMap(*reversed(files))["start_weights"] == {"_target_": "utad_monai.models.starter.starter_path"}
    assert set(given["student"]) == set(given["teacher"])
