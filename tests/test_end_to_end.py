"""The product as its users run it: bundles through the real command line, from a foreign working directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas
import pytest

from utad_monai.apps.complete.provenance import is_synthetic
from utad_monai.bundle.configs import bundles_dir
from utad_monai.keys import Modality

pytestmark = pytest.mark.command_line

SIZES = ("--frame_size_mm", "[36,36]", "--image_size", "[32,32]")
NETWORKS = ("--start_weights", "", "--base_channels", "2", "--critic_channels", "4", "--critic_layers", "4")
SCHEDULE = ("--max_epochs", "2", "--decay_epochs", "1", "--samples_per_epoch", "8", "--batch_size", "4")
CRITICS = ("--critic_steps", "1")
UNET = ("--unet_channels", "[4,8]", "--unet_strides", "[2]", "--max_epochs", "1")


def run_bundle(cwd: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run `python -m monai.bundle run ...` in a folder of its own, with one thread."""
    command = [sys.executable, "-m", *(launcher or ()), *(("monai.bundle",) if not launcher else ()), "run", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=300, check=False
    )


def config(name: str) -> tuple[str, str]:
    return "--config_file", str(bundles_dir() / f"{name}.json")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, tiny_cohort: Path) -> Path:
    """Run all five commands once on the tiny cohort; give the output folder."""
    cwd = tmp_path_factory.mktemp("somewhere_else")
    output = cwd / "run"
    places = ("--dataset_dir", str(tiny_cohort), "--output_dir", str(output))
    commands = [
        ("training", *config("segmentation"), *places, *SIZES, *UNET),
        ("training", *config("teacher"), *places, *SIZES, *NETWORKS, *SCHEDULE, *CRITICS),
        ("training", *config("student"), *places, *SCHEDULE, *CRITICS),
        (*config("inference"), *places, "--split", "test", "--targets", "['t1ce']"),
        (*config("evaluate"), *places, "--protocol", "brasyn"),
    ]
    for command in commands:
        result = run_bundle(cwd, *command)
        assert result.returncode == 0, result.stderr[-3000:]
    return output


def test_every_stage_leaves_its_result(pipeline: Path) -> None:
    expected = [
        "split.csv",
        "segmentation/model.safetensors",
        "teacher/model.safetensors",
        "student/model.safetensors",
        "synthetic/manifest.csv",
    ]
    expected += ["evaluation/evaluation.csv", "teacher/history.csv", "student/samples/epoch_0002.png"]
    assert [name for name in expected if not (pipeline / name).is_file()] == []


def test_sound_trainings_are_told_to_be_sound(pipeline: Path) -> None:
    for stage in ("teacher", "student"):
        health = pandas.read_csv(pipeline / stage / "health.csv", keep_default_na=False)
        assert list(health["warnings"]) == ["", ""]
        assert (health["variety_of_targets"] > 0).all()


def test_nothing_partial_is_left_behind(pipeline: Path) -> None:
    assert list(pipeline.rglob(".partial-*")) == []


def test_the_summary_has_the_promised_form(pipeline: Path) -> None:
    summary = json.loads((pipeline / "evaluation" / "summary.json").read_text(encoding="utf-8"))
    assert set(summary) == {
        *("protocol", "image_quality", "image_quality_by_pair", "image_quality_by_sources", "below_contrast_map"),
        *("dice", "cases", "other_protocols"),
    }
    assert set(summary["other_protocols"]["brasyn"]) >= {"student", "teacher", "copy_source", "contrast_map"}
    assert "3-D SSIM" in summary["protocol"]["brasyn"]
    yardsticks = {"copy_source", "flat_brain", "contrast_map", "paired_contrast_map"}
    assert set(summary["image_quality"]) - {"starter"} == {"student", "teacher"} | yardsticks
    assert ("starter" in summary["image_quality"]) is ("starter_sha256" in summary["protocol"])
    by_sources = summary["image_quality_by_sources"]
    assert list(by_sources) == ["1", "2", "3"]
    assert all({"contrast_map", "paired_contrast_map"} <= set(quality) for quality in by_sources.values())
    assert len(summary["image_quality_by_pair"]) == 12
    assert set(summary["dice"]) == {"real", "synthesized", "copy_source", "zero_fill"}
    assert summary["cases"] == 1
    assert all(set(dice) == {"WT", "TC", "ET"} for dice in summary["dice"].values())
    assert all({"ssim", "psnr", "tumour_ssim", "tumour_mae"} <= set(q) for q in summary["image_quality"].values())


def test_the_table_has_one_row_per_case_source_and_target(pipeline: Path) -> None:
    table = pandas.read_csv(pipeline / "evaluation" / "evaluation.csv")
    assert len(table) == 12
    assert not table.duplicated(["case", "source", "target"]).any()


def test_synthetic_volumes_lie_on_the_grid_of_their_source(pipeline: Path, tiny_cohort: Path) -> None:
    manifest = pandas.read_csv(pipeline / "synthetic" / "manifest.csv")
    assert manifest["status"].tolist() == ["done"]
    row = manifest.iloc[0]
    made = nibabel.load(pipeline / "synthetic" / row["files"])
    sources = row["sources"].split("+")
    source = nibabel.load(tiny_cohort / row["case"] / f"{row['case']}_{sources[0]}.nii.gz")
    assert made.affine.tobytes() == source.affine.tobytes()
    assert made.shape == source.shape
    assert is_synthetic(made.header)
    assert not np.asarray(made.dataobj)[np.asarray(source.dataobj) == 0].any()
    sidecar = json.loads(
        (pipeline / "synthetic" / row["files"].replace(".nii.gz", ".json")).read_text(encoding="utf-8")
    )
    assert set(sidecar["SourceModalities"]) == set(sources) == {"flair", "t1", "t2"}
    assert sidecar["Modality"] == "t1ce"


def test_an_evaluation_takes_up_a_network_that_tolerates_gaps(
    pipeline: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    shutil.copytree(pipeline, output)
    places = ("--dataset_dir", str(tiny_cohort), "--output_dir", str(output))
    files = [str(bundles_dir() / name) for name in ("segmentation.json", "gap_tolerant.json")]
    for command in (
        ("training", "--config_file", str(files), *places, *SIZES, *UNET),
        (*config("evaluate"), *places, "--starter_flips", "False"),
    ):
        result = run_bundle(tmp_path, *command)
        assert result.returncode == 0, result.stderr[-3000:]
    summary = json.loads((output / "evaluation" / "summary.json").read_text(encoding="utf-8"))
    assert len(summary["missing_modalities"]["best"]) == 14
    assert summary["protocol"]["segmentation_tolerant_sha256"] != summary["protocol"]["segmentation_sha256"]
    assert "what synthesis adds" in result.stdout
    before = json.loads((pipeline / "evaluation" / "summary.json").read_text(encoding="utf-8"))
    assert "missing_modalities" not in before
    assert summary["dice"] == before["dice"]


def test_a_second_inference_gives_the_same_bytes(pipeline: Path, tiny_cohort: Path, tmp_path: Path) -> None:
    (before,) = (pipeline / "synthetic").rglob("*.nii.gz")
    content = before.read_bytes()
    places = ("--dataset_dir", str(tiny_cohort), "--output_dir", str(pipeline))
    result = run_bundle(tmp_path, *config("inference"), *places, "--split", "test", "--targets", "['t1ce']")
    assert result.returncode == 0, result.stderr[-3000:]
    assert before.read_bytes() == content


def test_a_missing_predecessor_names_the_command_to_run(tiny_cohort: Path, tmp_path: Path) -> None:
    places = ("--dataset_dir", str(tiny_cohort), "--output_dir", str(tmp_path / "run"))
    result = run_bundle(tmp_path, "training", *config("student"), *places)
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "utad-monai run teacher -- --output_dir" in errors[0]
    assert "Traceback" not in result.stderr


def test_a_misspelt_override_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    result = run_bundle(tmp_path, "training", *config("teacher"), "--datset_dir", "x", "--output_dir", "run")
    assert result.returncode == 1
    assert "error: --datset_dir: the config has no such key; did you mean --dataset_dir?" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_bad_cohort_is_refused_with_one_line_per_problem(tmp_path: Path, write_case: Callable[..., Path]) -> None:
    for number in range(4):
        write_case(tmp_path / "cohort", f"BraTS_{number:03d}", seed=number)
    (tmp_path / "cohort" / "BraTS_001" / "BraTS_001_t1.nii.gz").write_bytes(b"")
    broken = tmp_path / "cohort" / "BraTS_002" / "BraTS_002_seg.nii.gz"
    image = nibabel.load(broken)
    shifted = image.affine.copy()
    shifted[0, 3] += 10
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), shifted), broken)
    places = ("--dataset_dir", str(tmp_path / "cohort"), "--output_dir", str(tmp_path / "run"))
    result = run_bundle(tmp_path, "training", *config("teacher"), *places, *SIZES, *NETWORKS, *SCHEDULE)
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "BraTS_001_t1.nii.gz: is empty (0 bytes)" in errors[0]
    assert "BraTS_002_seg.nii.gz: has another affine" in errors[1]


def test_a_cohort_with_one_modality_per_case_trains(tmp_path: Path, write_case: Callable[..., Path]) -> None:
    for number in range(12):
        modality = list(Modality)[number % 4]
        write_case(tmp_path / "cohort", f"BraTS_{number:03d}", modalities=[modality], seed=number)
    places = ("--dataset_dir", str(tmp_path / "cohort"), "--output_dir", str(tmp_path / "run"))
    split = pandas.DataFrame(
        {
            "case": [f"BraTS_{number:03d}" for number in range(12)],
            "split": ["train"] * 8 + ["validation"] * 4,
        }
    )
    (tmp_path / "run").mkdir()
    split.to_csv(tmp_path / "run" / "split.csv", index=False)
    result = run_bundle(tmp_path, "training", *config("teacher"), *places, *SIZES, *NETWORKS, *SCHEDULE, *CRITICS)
    assert result.returncode == 0, result.stderr[-3000:]
    assert (tmp_path / "run" / "teacher" / "model.safetensors").is_file()


def test_every_training_is_tracked(tmp_path: Path, tiny_cohort: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra [tracking] is not installed")
    pytest.importorskip("sqlalchemy", reason="the extra [tracking] is not installed")
    places = ("--dataset_dir", str(tiny_cohort), "--output_dir", str(tmp_path / "run"), "--tracking", "mlflow")
    short = ("--max_epochs", "1", "--decay_epochs", "0", "--samples_per_epoch", "4", "--batch_size", "4", *CRITICS)
    short += ("--critics_from_epoch", "0")
    demo = ("--config_file", str([str(bundles_dir() / name) for name in ("teacher.json", "demo.json")]))
    for command in (
        (*config("segmentation"), *SIZES, *UNET),
        (*demo, *SIZES, *NETWORKS, *short),
        (*config("student"), *short),
    ):
        result = run_bundle(tmp_path, "training", *command, *places)
        assert result.returncode == 0, result.stderr[-3000:]
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/run/mlruns.db")
    (experiment,) = [one for one in client.search_experiments() if one.name == "monai_experiment"]
    student, teacher, segmentation = (run.data.metrics for run in client.search_runs([experiment.experiment_id]))
    assert "train_loss" in segmentation
    assert {"loss", "critic_loss", "generator/local", "unpaired_score"} <= set(teacher)
    assert {"loss", "generator/image_distillation", "unpaired_score"} <= set(student)


def test_two_processes_train_one_model(tmp_path: Path, tiny_cohort: Path) -> None:
    both = [str(bundles_dir() / name) for name in ("teacher.json", "multi_gpu.json")]
    arguments = ("training", "--config_file", str(both), "--dataset_dir", str(tiny_cohort), "--output_dir", "run")
    critics = (*CRITICS, "--critics_from_epoch", "1")
    launcher = ("torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle")
    result = run_bundle(tmp_path, *arguments, *SIZES, *NETWORKS, *SCHEDULE, *critics, launcher=launcher)
    assert result.returncode == 0, result.stderr[-3000:]
    assert (tmp_path / "run" / "teacher" / "model.safetensors").is_file()
    history = pandas.read_csv(tmp_path / "run" / "teacher" / "history.csv")
    assert history["iteration"].tolist() == [1, 2]
