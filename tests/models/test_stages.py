"""Every stage has its folder, and a missing stage is named with the command that makes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from utad_monai.bundle.configs import bundles_dir
from utad_monai.models.stages import MissingStageError, Stage, existing_model, model_path


@pytest.mark.parametrize("stage", [Stage.TEACHER, Stage.STUDENT, Stage.SEGMENTATION])
def test_missing_model_names_the_command_that_makes_it(tmp_path: Path, stage: Stage) -> None:
    with pytest.raises(MissingStageError) as missing:
        existing_model(tmp_path, stage)
    text = str(missing.value)
    assert f"monai.bundle run training --config_file bundles/{stage}.json --output_dir {tmp_path}" in text
    assert str(tmp_path / stage / "model.pt") in text
    assert "\n" not in text
    assert (bundles_dir() / f"{stage}.json").is_file()
    assert missing.value.stage is stage


def test_existing_model_is_returned(tmp_path: Path) -> None:
    path = model_path(tmp_path, "teacher")
    path.parent.mkdir()
    path.touch()
    assert existing_model(tmp_path, "teacher") == path == tmp_path / "teacher" / "model.pt"


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
