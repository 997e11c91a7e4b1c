"""What comes next is a command that works where the user stands, with the user's overlays and places."""

from __future__ import annotations

from pathlib import Path

import pytest

from utad_monai.bundle.next_steps import next_commands, stage_command
from utad_monai.models.stages import Stage


def finish(output: Path, *stages: str) -> None:
    for stage in stages:
        (output / stage).mkdir(parents=True)
        (output / stage / "model.safetensors").touch()


def test_places_and_overlays_are_repeated() -> None:
    given = {"output_dir": "my run", "max_epochs": "3", "dataset_dir": "cohort"}
    command = stage_command(Stage.STUDENT, ["teacher", "demo"], given)
    assert command == "utad-monai run student demo -- --dataset_dir cohort --output_dir 'my run'"


@pytest.mark.parametrize(
    ("stage", "names", "words"),
    [
        (Stage.SEGMENTATION, ["student", "published", "mine.json"], "segmentation mine.json"),
        (Stage.STUDENT, ["teacher", "published"], "student published"),
        (Stage.TEACHER, ["segmentation", "gap_tolerant", "demo"], "teacher demo"),
        (Stage.EVALUATION, ["student", "demo"], "evaluate"),
    ],
)
def test_overlays_go_where_they_fit(stage: Stage, names: list[str], words: str) -> None:
    assert stage_command(stage, names, {}) == f"utad-monai run {words}"


def test_the_first_stage_that_is_missing_comes_next(tmp_path: Path) -> None:
    finish(tmp_path, "segmentation")
    assert next_commands(["segmentation"], {"output_dir": str(tmp_path)}) == [
        f"utad-monai run teacher -- --output_dir {tmp_path}"
    ]


def test_a_student_is_for_completing_and_is_measured(tmp_path: Path) -> None:
    finish(tmp_path, "segmentation", "teacher", "student")
    evaluate, complete = next_commands(["student"], {"output_dir": str(tmp_path), "dataset_dir": "c"})
    assert evaluate == f"utad-monai run evaluate -- --dataset_dir c --output_dir {tmp_path}"
    assert complete.startswith(f"utad-monai complete c --model {tmp_path}/student/model.safetensors --output ")


def test_an_evaluation_is_followed_by_the_report() -> None:
    assert next_commands(["evaluate"], {"output_dir": "o", "dataset_dir": "c"}) == ["utad-monai report o --dataset c"]
    assert next_commands(["inference"], {"output_dir": "o"}) == []
