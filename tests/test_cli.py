"""The command: thin, helpful, and plain about mistakes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from utad_monai import __version__
from utad_monai.cli import app, main

runner = CliRunner()


def test_the_version_is_printed() -> None:
    assert runner.invoke(app, ["--version"]).stdout.strip() == __version__


def test_phantom_writes_a_cohort(tmp_path: Path) -> None:
    result = runner.invoke(app, ["phantom", str(tmp_path / "out"), "--cases", "1", "--seed", "4"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "BraTS20_Phantom_001" / "BraTS20_Phantom_001_t1ce.nii.gz").is_file()


def test_a_wrong_spacing_is_a_usage_error(tmp_path: Path) -> None:
    result = runner.invoke(app, ["phantom", str(tmp_path / "out"), "--spacing", "3"])
    assert result.exit_code == 2
    assert "spacing" in result.output


def test_bundles_prints_a_folder_that_has_them() -> None:
    folder = Path(runner.invoke(app, ["bundles"]).stdout.strip())
    assert {"teacher.json", "student.json", "metadata.json", "logging.conf"} <= {path.name for path in folder.iterdir()}


def test_an_expected_error_is_one_line_and_exit_code_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"epoch": 3}, tmp_path / "G.ckpt")
    arguments = ["utad-monai", "import-checkpoint", str(tmp_path / "G.ckpt"), str(tmp_path / "model.pt")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {tmp_path / 'G.ckpt'}: checkpoint")
