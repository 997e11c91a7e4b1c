"""Trainings run once, in the right order, side by side, and fail with a name."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pandas
import pytest

from utad_monai.apps.study import StudyPlan, training
from utad_monai.apps.study.plan import StudyMethod
from utad_monai.apps.study.training import DONE_FILE, LOG_FILE, is_trained, train_all
from utad_monai.models.stages import StudyError

METHODS = (
    StudyMethod("pupil", "student", after="master"),
    StudyMethod("master", "teacher"),
    StudyMethod("other", "teacher", overrides={"seed": 3}),
)
PLAN = StudyPlan("pupil", METHODS, segmenters=(), method_overrides={"max_epochs": 2})


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace trainings by an empty model file, and record them."""
    calls: list[dict[str, Any]] = []

    def run(**arguments: Any) -> None:
        calls.append(arguments)
        folder = Path(arguments["stage_dir"])
        folder.mkdir(parents=True)
        (folder / "model.safetensors").touch()

    monkeypatch.setattr(training, "run_bundle", run)
    monkeypatch.setattr(training, "prepare_study_cohort", lambda *_: None)
    return calls


def names(calls: list[dict[str, Any]]) -> list[str]:
    return [Path(call["stage_dir"]).name for call in calls]


def test_a_student_is_trained_after_its_teacher(trained: list[dict[str, Any]], tmp_path: Path) -> None:
    train_all(PLAN, "cohort", tmp_path)
    assert sorted(names(trained)) == ["master", "other", "student"]
    assert names(trained).index("student") > names(trained).index("master")


def test_a_student_learns_from_the_teacher_that_it_comes_after(trained: list[dict[str, Any]], tmp_path: Path) -> None:
    train_all(PLAN, "cohort", tmp_path)
    teachers = {Path(call["stage_dir"]).name: call.get("teacher_dir") for call in trained}
    assert teachers == {"student": str(tmp_path / "methods" / "master"), "master": None, "other": None}


def test_a_student_that_comes_after_nothing_has_its_teacher_where_it_always_is(
    trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    train_all(StudyPlan("pupil", (StudyMethod("pupil", "student"),), segmenters=()), "cohort", tmp_path)
    assert "teacher_dir" not in trained[0]


def test_every_training_gets_the_budget_and_what_is_its_own(trained: list[dict[str, Any]], tmp_path: Path) -> None:
    train_all(PLAN, "cohort", tmp_path)
    assert {call["max_epochs"] for call in trained} == {2}
    assert [call.get("seed") for call in sorted(trained, key=lambda call: str(call["stage_dir"]))] == [None, 3, None]
    assert {(call["dataset_dir"], call["output_dir"]) for call in trained} == {("cohort", str(tmp_path))}


def test_what_is_trained_is_not_trained_again(trained: list[dict[str, Any]], tmp_path: Path) -> None:
    train_all(PLAN, "cohort", tmp_path)
    train_all(PLAN, "cohort", tmp_path)
    assert len(trained) == 3
    (tmp_path / "student" / DONE_FILE).unlink()
    (tmp_path / "student" / "model.safetensors").unlink()
    (tmp_path / "student").rmdir()
    train_all(PLAN, "cohort", tmp_path)
    assert names(trained)[3:] == ["student"]


def test_other_settings_in_the_same_folder_are_refused(trained: list[dict[str, Any]], tmp_path: Path) -> None:
    train_all(PLAN, "cohort", tmp_path)
    other = StudyPlan("pupil", METHODS, segmenters=(), method_overrides={"max_epochs": 3})
    with pytest.raises(StudyError, match=r"pupil was trained with other settings; remove the folder"):
        train_all(other, "cohort", tmp_path)
    assert len(trained) == 3


def test_a_failed_training_is_named_with_its_cause_and_is_not_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(**_: Any) -> None:
        try:
            raise ValueError("the brain is empty")
        except ValueError as error:
            raise RuntimeError("wrapped") from error

    monkeypatch.setattr(training, "run_bundle", fail)
    monkeypatch.setattr(training, "prepare_study_cohort", lambda *_: None)
    with pytest.raises(StudyError, match="training master failed: the brain is empty"):
        train_all(PLAN, "cohort", tmp_path)
    assert not any(is_trained(method, PLAN, tmp_path) for method in METHODS)


def test_a_training_that_leaves_no_model_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(training, "run_bundle", lambda **_: None)
    monkeypatch.setattr(training, "prepare_study_cohort", lambda *_: None)
    with pytest.raises(StudyError, match=r"training master left no .*model\.safetensors"):
        train_all(PLAN, "cohort", tmp_path)


def test_a_training_that_an_earlier_version_ended_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def resume(stage_dir: str, **_: Any) -> None:
        Path(stage_dir).mkdir(parents=True)
        (Path(stage_dir) / "model.pt").touch()

    monkeypatch.setattr(training, "run_bundle", resume)
    monkeypatch.setattr(training, "prepare_study_cohort", lambda *_: None)
    train_all(PLAN, "cohort", tmp_path)
    assert all(is_trained(method, PLAN, tmp_path) for method in METHODS)


def test_several_processes_train_the_same_as_one(
    tiny_plan: StudyPlan, finished_study: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    plan = StudyPlan(
        tiny_plan.reference,
        tuple(method for method in tiny_plan.methods if method.name in ("stargan", "paired_upper_bound")),
        segmenters=(),
        overlays=tiny_plan.overlays,
        cohort_overrides=tiny_plan.cohort_overrides,
        method_overrides=tiny_plan.method_overrides,
        method_overlays=tiny_plan.method_overlays,
    )
    train_all(plan, tiny_cohort, tmp_path, workers=2)
    for method in plan.methods:
        folder, before = plan.stage_dir(method.name, tmp_path), plan.stage_dir(method.name, finished_study)
        assert json.loads((folder / DONE_FILE).read_text())["settings"] == plan.settings(method)
        assert "epoch 1 of 1: loss" in (folder / LOG_FILE).read_text(encoding="utf-8")
        histories = [pandas.read_csv(path / "history.csv") for path in (folder, before)]
        pandas.testing.assert_frame_equal(*histories)


def test_a_failure_in_another_process_reaches_the_user(tiny_plan: StudyPlan, tiny_cohort: Path, tmp_path: Path) -> None:
    plan = StudyPlan(
        "stargan",
        (StudyMethod("stargan", "teacher", overrides={"critic_steps": 0}),),
        segmenters=(),
        overlays=(),
        cohort_overrides=tiny_plan.cohort_overrides,
        method_overrides={key: value for key, value in tiny_plan.method_overrides.items() if key != "critic_steps"},
        method_overlays=tiny_plan.method_overlays,
    )
    logging.getLogger().handlers.clear()
    with pytest.raises(StudyError, match="training stargan failed: critic_steps must be at least 1, got 0"):
        train_all(plan, tiny_cohort, tmp_path, workers=2)
