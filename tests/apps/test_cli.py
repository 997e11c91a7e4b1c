"""The command: thin, helpful, and plain about mistakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from typer.testing import CliRunner

from utad_monai import __version__
from utad_monai.apps.cli import app, main
from utad_monai.apps.package.configs import Label
from utad_monai.apps.package.writer import Package

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
    arguments = ["utad-monai", "import-checkpoint", str(tmp_path / "G.ckpt"), str(tmp_path / "model.safetensors")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {tmp_path / 'G.ckpt'}: checkpoint")


@pytest.fixture
def study_calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replace the study itself; record the plan, cohort, folder and workers it is called with."""
    calls: list[Any] = []
    row = {"protocol": "translation", "metric": "ssim", "method": "utad_a", "mean": 0.4, "low": 0.3, "high": 0.5}

    def run(plan: Any, dataset_dir: Any, output_dir: Path, workers: Any) -> pandas.DataFrame:
        calls.append((plan, dataset_dir, output_dir, workers))
        output_dir.mkdir(exist_ok=True)
        pandas.DataFrame([row]).to_csv(output_dir / "study_results.csv", index=False)
        return pandas.DataFrame([row])

    monkeypatch.setattr("utad_monai.apps.study.run_study", run)
    monkeypatch.setattr("utad_monai.apps.report.study_section.show_study", lambda *_: None)
    monkeypatch.setattr(
        "utad_monai.apps.report.study_figures.write_study_figures", lambda *_: [Path("figures") / "dice.png"]
    )
    return calls


def test_study_options_reach_the_plan(study_calls: list[Any], tmp_path: Path) -> None:
    options = ["--output", str(tmp_path / "s"), "--dataset", "cohort", "--method", "stargan", "--minutes", "8"]
    result = runner.invoke(app, ["study", *options, "--test-fraction", "0.3", "--workers", "2"])
    assert result.exit_code == 0, result.output
    plan, dataset, output, workers = study_calls[0]
    assert (dataset, output, workers) == ("cohort", tmp_path / "s", 2)
    assert [method.name for method in plan.methods] == ["utad_teacher", "utad_a", "stargan"]
    assert plan.method_overrides["max_minutes"] == 8
    assert plan.cohort_overrides == {"test_fraction": 0.3}


def test_epochs_of_a_study_set_their_decay(study_calls: list[Any], tmp_path: Path) -> None:
    runner.invoke(app, ["study", "--output", str(tmp_path), "--dataset", "cohort", "--max-epochs", "9"])
    overrides = study_calls[0][0].method_overrides
    assert (overrides["max_epochs"], overrides["decay_epochs"]) == (9, 4)
    assert study_calls[0][3] is None


@pytest.mark.parametrize(("low", "code"), [(0.35, 0), (0.45, 1)])
def test_a_study_can_be_checked_against_an_earlier_one(
    study_calls: list[Any], tmp_path: Path, low: float, code: int
) -> None:
    expected = pandas.DataFrame(
        [{"protocol": "translation", "metric": "ssim", "method": "utad_a", "low": low, "high": 0.5}]
    )
    expected.to_csv(tmp_path / "expected.csv", index=False)
    options = ["--output", str(tmp_path), "--dataset", "cohort", "--expect", str(tmp_path / "expected.csv")]
    assert runner.invoke(app, ["study", *options]).exit_code == code
    assert len(study_calls) == 1


def test_an_unknown_study_method_is_a_usage_error(study_calls: list[Any], tmp_path: Path) -> None:
    result = runner.invoke(app, ["study", "--output", str(tmp_path), "--method", "cyclegan"])
    assert result.exit_code == 2
    assert "no method cyclegan" in re.sub(r"[\s│]+", " ", result.output)  # lines break where the checkout's path ends
    assert study_calls == []


@pytest.mark.parametrize(("damage", "code"), [((), 0), (("B_2",), 2), (("A_1", "B_2"), 1)])
def test_check_tells_sound_cohorts_from_others_by_its_exit_code(
    tmp_path: Path, write_case: Any, damage: tuple[str, ...], code: int
) -> None:
    for seed, case_id in enumerate(("A_1", "B_2")):
        write_case(tmp_path / "cohort", case_id, seed=seed)
    for case_id in damage:
        (tmp_path / "cohort" / case_id / f"{case_id}_t1.nii.gz").write_bytes(b"")
    result = runner.invoke(app, ["check", str(tmp_path / "cohort"), "--json", str(tmp_path / "check.json")])
    assert result.exit_code == code, result.output
    assert f"{2 - len(damage)} usable, {len(damage)} refused" in result.stdout
    assert json.loads((tmp_path / "check.json").read_text())["exit_code"] == code


def test_check_prints_json_alone_when_asked(tmp_path: Path, write_case: Any) -> None:
    write_case(tmp_path, "A_1")
    result = runner.invoke(app, ["check", str(tmp_path), "--json", "-", "--workers", "1"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["cases"] == 1


@pytest.fixture
def lacking(tmp_path: Path, write_case: Any) -> Path:
    """Give a cohort: one case lacks T1, one has all."""
    write_case(tmp_path / "cohort", "a", ["flair", "t1ce", "t2"], seed=1)
    write_case(tmp_path / "cohort", "b", seed=2)
    return tmp_path / "cohort"


def complete(cohort: Path, model: Path, *options: str) -> Any:
    arguments = ["complete", str(cohort), "--model", str(model), "--output", str(cohort.parent / "out"), *options]
    return runner.invoke(app, arguments)


def test_complete_says_what_it_found_what_it_did_and_in_which_channel_order(lacking: Path, student_file: Path) -> None:
    result = complete(lacking, student_file, "--layout", "nnunet")
    assert result.exit_code == 0, result.output
    assert "2 cases of 2 patients (flair 2, t1 1, t1ce 2, t2 2, seg 2)" in result.output
    assert "2 cases: 1 done, 1 skipped, 0 refused" in result.output
    assert "_0000 flair, _0001 t1, _0002 t1ce, _0003 t2" in result.output
    assert (lacking.parent / "out" / "synthetic" / "a" / "a_t1_synthetic.nii.gz").is_file()
    assert "(1 were finished before)" in complete(lacking, student_file, "--layout", "nnunet").output


def test_complete_shows_its_plan_and_does_nothing(lacking: Path, student_file: Path) -> None:
    result = complete(lacking, student_file, "--dry-run", "--target", "t1", "--source", "t2")
    assert result.exit_code == 0, result.output
    assert "make   a: t1 from t2" in result.output
    assert "make   b: t1 from t2" in result.output
    assert "2 volumes would be made; nothing was written" in result.output
    assert not (lacking.parent / "out").exists()


def test_complete_ends_with_2_when_something_was_refused(lacking: Path, student_file: Path) -> None:
    (lacking / "a" / "a_t2.nii.gz").write_bytes(b"broken")
    result = complete(lacking, student_file)
    assert result.exit_code == 2
    assert "error: case a:" in result.output
    assert "a_t2.nii.gz" in result.output
    assert "0 done, 1 skipped, 1 refused" in result.output


def test_complete_reports_a_segmentation_that_cannot_go_along(lacking: Path, student_file: Path) -> None:
    (lacking / "b" / "b_seg.nii.gz").write_bytes(b"broken")
    result = complete(lacking, student_file, "--layout", "brats2020")
    assert result.exit_code == 2
    assert "b_seg.nii.gz" in result.output


def test_complete_without_a_model_ends_in_one_plain_line(
    lacking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", str(tmp_path / "none.pt"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["utad-monai", "complete", str(lacking), *options])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == 1
    assert "error: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_complete_refuses_unknown_words_with_the_known_ones(lacking: Path, student_file: Path) -> None:
    result = complete(lacking, student_file, "--fuse", "vote")
    assert result.exit_code == 2
    assert "weighted" in result.output


def test_package_options_reach_the_writer_and_its_lines_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def write(*arguments: Any, pt2: bool) -> Package:
        calls.append((*arguments, pt2))
        return Package(tmp_path / "mine", {"models/model.pt": 1_500_000})

    monkeypatch.setattr("utad_monai.apps.package.writer.write_package", write)
    options = ["--name", "mine", "--release", "2.0.0", "--data-source", "cohort X", "--no-onnx"]
    result = runner.invoke(app, ["package", "model.safetensors", str(tmp_path), *options])
    assert result.exit_code == 0, result.output
    assert calls == [
        (Path("model.safetensors"), tmp_path, Label("mine", "2.0.0", data_source="cohort X"), False, True, False),
    ]
    assert result.stdout.strip() == f"1.500 MB  {tmp_path / 'mine' / 'models' / 'model.pt'}"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_does_not_wait_for_torch(option: str) -> None:
    program = (
        "import sys\n"
        "from utad_monai.apps.cli import main\n"
        f"sys.argv = ['utad-monai', {option!r}]\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    sys.stderr.write(' '.join(sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert finished.stdout
    loaded = set(finished.stderr.split())
    assert "typer" in loaded
    assert {"torch", "monai", "pandas", "scipy", "SimpleITK", "nibabel"} & loaded == set()
