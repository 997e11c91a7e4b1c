"""A cohort in which every patient has one modality trains as it is, from the starter weights, as users run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from utad_monai.bundle.configs import bundles_dir
from utad_monai.keys import Modality
from utad_monai.models import load_translator

pytestmark = pytest.mark.command_line

SLICES = ["--frame_size_mm", "[36,36]", "--image_size", "[32,32]"]
SIZES = {"teacher": [*SLICES, "--critic_channels", "4", "--critic_layers", "4"], "student": []}
SCHEDULE = ["--max_epochs", "2", "--decay_epochs", "1", "--samples_per_epoch", "8", "--batch_size", "4"]


@pytest.mark.parametrize(
    ("patients", "splits", "scored_on"),
    [
        (4, {"train": 4}, "12 pairs of 4 training cases (flair 1, t1 1, t1ce 1, t2 1)"),
        (8, {"train": 4, "validation": 2, "test": 2}, "6 pairs of 2 validation cases"),
    ],
)
def test_patients_of_one_modality_each_give_a_teacher_and_a_student(
    patients: int, splits: dict[str, int], scored_on: str, tmp_path: Path, write_case: Callable[..., Path]
) -> None:
    for number in range(patients):
        modality = list(Modality)[number % 4]
        write_case(tmp_path / "cohort", f"BraTS_{number:03d}", modalities=[modality], seed=number)
    output = tmp_path / "run"
    for stage, sizes in SIZES.items():
        arguments = ["--config_file", str(bundles_dir() / f"{stage}.json"), *SCHEDULE, "--critic_steps", "1", *sizes]
        arguments += ["--dataset_dir", "cohort", "--output_dir", "run", "--workers", "1"]
        arguments += ["--logging_file", str(bundles_dir() / "logging.conf")]
        result = subprocess.run(
            [sys.executable, "-m", "monai.bundle", "run", "training", *arguments],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        assert result.returncode == 0, result.stderr[-3000:]
        assert f" on {scored_on}" in result.stderr
        model = load_translator(output / stage / "model.safetensors")
        assert model.training["validated_on"].startswith(scored_on)
        assert set(model.target_windows) == set(model.source_errors) == set(Modality)
    assert pandas.read_csv(output / "split.csv")["split"].value_counts().to_dict() == splits
