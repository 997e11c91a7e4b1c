"""Every stage has its folder, and a missing stage is named with the command that makes it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.model_files import BOTH_NAMES
from utad_monai.bundle.configs import bundles_dir
from utad_monai.errors import CheckpointError
from utad_monai.models.stages import (
    MissingStageError,
    Stage,
    drop_other_model,
    existing_model,
    model_of_run,
    model_path,
    present_model,
)


@pytest.mark.parametrize("stage", [Stage.TEACHER, Stage.STUDENT, Stage.SEGMENTATION])
def test_missing_model_names_the_command_that_makes_it(tmp_path: Path, stage: Stage) -> None:
    with pytest.raises(MissingStageError) as missing:
        existing_model(tmp_path, stage)
    text = str(missing.value)
    assert f"utad-monai run {stage} -- --output_dir {tmp_path}" in text
    assert str(tmp_path / stage / "model.safetensors") in text
    assert "\n" not in text
    assert (bundles_dir() / f"{stage}.json").is_file()
    assert missing.value.stage is stage


def test_existing_model_is_returned(tmp_path: Path) -> None:
    path = model_path(tmp_path, "teacher")
    path.parent.mkdir()
    path.touch()
    assert existing_model(tmp_path, "teacher") == path == tmp_path / "teacher" / "model.safetensors"


@pytest.mark.parametrize(("asked", "other"), [BOTH_NAMES, BOTH_NAMES[::-1]])
def test_a_model_is_found_under_its_other_name_with_one_line_in_the_log(
    tmp_path: Path, asked: str, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / other).touch()
    with caplog.at_level(logging.INFO, logger="utad_monai"):
        assert present_model(tmp_path / asked) == tmp_path / other
    assert caplog.messages == [f"there is no {tmp_path / asked}: {other} beside it is used"]


@pytest.mark.parametrize("asked", BOTH_NAMES)
def test_of_two_models_the_one_that_is_named_is_used(
    tmp_path: Path, asked: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in BOTH_NAMES:
        (tmp_path / name).touch()
    with caplog.at_level(logging.INFO, logger="utad_monai"):
        assert present_model(tmp_path / asked) == tmp_path / asked
    assert caplog.messages == []


def test_only_a_model_has_another_name(tmp_path: Path) -> None:
    for name in ("mine.pt", "model.safetensors"):
        (tmp_path / name).touch()
    assert present_model(tmp_path / "mine.safetensors") == tmp_path / "mine.safetensors"
    drop_other_model(tmp_path / "mine.safetensors")
    assert (tmp_path / "mine.pt").is_file()
    assert present_model(tmp_path) == tmp_path


def test_the_model_of_an_earlier_version_is_that_of_its_stage(tmp_path: Path) -> None:
    earlier = tmp_path / "teacher" / "model.pt"
    earlier.parent.mkdir()
    earlier.touch()
    assert existing_model(tmp_path, Stage.TEACHER) == model_path(tmp_path, Stage.TEACHER) == earlier
    assert existing_model(tmp_path, Stage.STUDENT, tmp_path / "teacher") == earlier


def test_of_a_stages_two_models_the_one_of_today_is_used_until_the_other_is_dropped(tmp_path: Path) -> None:
    model = tmp_path / "teacher" / "model.safetensors"
    model.parent.mkdir()
    for name in BOTH_NAMES:
        (model.parent / name).touch()
    assert existing_model(tmp_path, Stage.TEACHER) == model
    drop_other_model(model)
    assert [path.name for path in model.parent.iterdir()] == ["model.safetensors"]
    drop_other_model(model)


def test_folder_in_the_place_of_a_model_is_no_model(tmp_path: Path) -> None:
    model_path(tmp_path, Stage.STUDENT).mkdir(parents=True)
    with pytest.raises(MissingStageError):
        existing_model(tmp_path, Stage.STUDENT)


def test_unknown_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="professor"):
        model_path(tmp_path, "professor")


def test_missing_stage_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        existing_model(tmp_path, Stage.TEACHER)


@pytest.mark.parametrize("stages", [("student",), ("teacher", "student", "starter"), ("starter",)])
def test_model_of_a_run_is_its_student_before_its_starter(tmp_path: Path, stages: tuple[str, ...]) -> None:
    for stage in stages:
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "model.safetensors").touch()
    wanted = "student" if "student" in stages else "starter"
    assert model_of_run(tmp_path) == tmp_path / wanted / "model.safetensors"
    assert model_of_run(tmp_path / wanted) == tmp_path / wanted / "model.safetensors"


def test_run_with_a_teacher_alone_says_what_to_train(tmp_path: Path) -> None:
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "model.safetensors").touch()
    with pytest.raises(
        CheckpointError, match=f"needs tumour masks.* utad-monai run student -- --output_dir {tmp_path}"
    ):
        model_of_run(tmp_path)


def test_what_is_no_run_is_left_to_whoever_reads_models(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    assert model_of_run(tmp_path / "model.safetensors") == tmp_path / "model.safetensors"
    assert model_of_run(tmp_path / "package") == tmp_path / "package"
