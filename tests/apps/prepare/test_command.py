"""What is recognised is shown before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk  # noqa: N813
from typer.testing import CliRunner

from utad_monai.apps.cli import app
from utad_monai.apps.prepare import command
from utad_monai.apps.prepare.command import describe_raw_cases, raw_cases
from utad_monai.apps.prepare.settings import BrainMaskMethod, GridKind, Interpolation, PreparationSettings
from utad_monai.keys import Modality


def test_every_image_has_its_line(tmp_path: Path, raw_head: Any, scanner: Any) -> None:
    folder = scanner["write_raw_case"](tmp_path, "P1", raw_head)
    (folder / "scan_9.nrrd").write_bytes(b"x")
    scanner["write_dicom"](folder / "more", raw_head.images["t1"], "DWI", 9)
    (tmp_path / "P2").mkdir()
    (tmp_path / "P2" / "t1.nrrd").write_bytes(b"damaged")
    (tmp_path / "P2" / "t1_again.nrrd").write_bytes(b"damaged")
    (tmp_path / "P2" / "flair.nrrd").write_bytes(b"damaged")
    text = "\n".join(describe_raw_cases(raw_cases(tmp_path)))
    assert "t1ce       DICOM     dicom/ series 4 't1_mprage_sag post gad': 56 x 64 x 52 voxels of 4 x 4 x 4 mm" in text
    assert "flair      NRRD      P1_FLAIR.nrrd: 56 x 64 x 52 voxels" in text
    assert "not used   more/ series 9 'DWI'" in text
    assert "not recognised: scan_9.nrrd" in text
    assert "flair.nrrd: UNUSABLE" in text
    assert "REFUSED    case P2" in text


runner = CliRunner()


@pytest.fixture
def raw_dir(tmp_path: Path, stripped_head: Any) -> Path:
    """Give a folder with one sound case of one image."""
    (tmp_path / "raw" / "a").mkdir(parents=True)
    sitk.WriteImage(stripped_head.images[Modality.T1], str(tmp_path / "raw" / "a" / "t1.nii.gz"))
    return tmp_path / "raw"


def call(*arguments: Any) -> Any:
    return runner.invoke(app, ["prepare", *map(str, arguments)])


def test_preparing_and_bringing_back_from_the_command_line(raw_dir: Path, tmp_path: Path) -> None:
    done = call(raw_dir, tmp_path / "out", "--grid", "reference", "--workers", "1")
    assert done.exit_code == 0, done.output
    assert "1 case prepared (0 by an earlier run), 0 refused" in done.output
    back = call(raw_dir, tmp_path / "out", "--to-native", tmp_path / "out", "--native-output", tmp_path / "native")
    assert back.exit_code == 0, back.output
    assert "1 image written" in back.output
    assert (tmp_path / "native" / "a" / "a_t1.nii.gz").is_file()


def test_refused_cases_give_exit_code_2_and_a_line_each(raw_dir: Path, tmp_path: Path) -> None:
    (raw_dir / "b").mkdir()
    (raw_dir / "b" / "t2.nrrd").write_bytes(b"damaged")
    result = call(raw_dir, tmp_path / "out", "--grid", "reference", "--workers", "1")
    assert result.exit_code == 2
    assert "error: case b" in result.output
    (raw_dir / "a" / "t1.nii.gz").write_bytes(b"damaged")
    assert call(raw_dir, tmp_path / "out", "--workers", "1").exit_code == 1


def test_a_dry_run_writes_nothing(raw_dir: Path, tmp_path: Path) -> None:
    result = call(raw_dir, tmp_path / "out", "--dry-run")
    assert result.exit_code == 0
    assert "56 x 64 x 52 voxels" in result.output
    assert not (tmp_path / "out").exists()


def test_doubtful_cases_are_warned_about(raw_dir: Path, tmp_path: Path) -> None:
    (raw_dir / "a" / "scan_9.nrrd").write_bytes(b"x")
    result = call(raw_dir, tmp_path / "out", "--grid", "reference", "--workers", "1")
    assert "warning: case a: 1 images were not recognised" in result.output


def test_options_become_settings() -> None:
    assert command.settings_of("t1", "reference", True, "synthstrip", "bspline") == PreparationSettings(
        Modality.T1,
        GridKind.REFERENCE,
        n4=True,
        brain_mask=BrainMaskMethod.SYNTHSTRIP,
        interpolation=Interpolation.BSPLINE,
    )
    assert command.settings_of("", "brats", False, "auto", "linear") == PreparationSettings()


@pytest.mark.parametrize(
    "options",
    [
        ("--reference", "pd"),
        ("--grid", "mni"),
        ("--brain-mask", "magic"),
        ("--interpolation", "cubic"),
        ("--to-native", "results"),
        ("--to-native", "results", "--native-output", "n", "--native-grid", "pd"),
    ],
)
def test_words_that_are_no_choice_are_usage_errors(raw_dir: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    result = call(raw_dir, tmp_path / "out", *options)
    assert result.exit_code == 2
    assert "Invalid value" in result.output or "Error" in result.output
    assert not (tmp_path / "out").exists()
