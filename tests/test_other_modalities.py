"""Cohorts of other modalities than the four train a teacher and a student and are completed, as users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas
import pytest
import torch

from utad_monai.bundle.configs import bundles_dir
from utad_monai.data import find_cases
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import FOUR_MODALITIES, Modality, ModalitySet
from utad_monai.models import load_translator
from utad_monai.networks import ModalityCritic, TumourAwareGenerator, student_from_teacher
from utad_monai.phantom import write_phantom_cohort
from utad_monai.phantom.mr_signal import PROTON_DENSITY, SEQUENCES

PD = Modality.named("pd")
THREE = {Modality.T1: SEQUENCES[Modality.T1], Modality.T2: SEQUENCES[Modality.T2], PD: PROTON_DENSITY}
FIVE = SEQUENCES | {PD: PROTON_DENSITY}
SLICES = ["--image_size", "[32,32]", "--base_channels", "2", "--critic_channels", "4", "--critic_layers", "4"]
SCHEDULE = ["--max_epochs", "2", "--decay_epochs", "1", "--samples_per_epoch", "8", "--batch_size", "4"]
SCHEDULE += ["--val_slice_step", "20", "--validation_fraction", "0.25", "--test_fraction", "0"]
SCRATCH = ["--start_weights", ""]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Give `run(module, ...)`: `python -m module ...` in a folder of its own, with one thread."""

    def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )

    return _run


def training(stage: str, *arguments: str) -> list[str]:
    config = ["--config_file", str(bundles_dir() / f"{stage}.json"), "--dataset_dir", "cohort", "--output_dir", "run"]
    return ["monai.bundle", "run", "training", *config, *SCHEDULE, *arguments]


@pytest.mark.command_line
@pytest.mark.parametrize("sequences", [THREE, FIVE], ids=["t1, t2, pd", "the four and pd"])
def test_phantom_of_other_modalities_trains_and_is_completed(
    sequences: dict[Modality, object], run: Run, tmp_path: Path
) -> None:
    cohort = write_phantom_cohort(tmp_path / "cohort", cases=4, progress=False, sequences=sequences)  # type: ignore[arg-type]
    names = list(map(str, sequences))
    for stage, options in (("teacher", [*SLICES, *SCRATCH, "--modalities", str(names)]), ("student", [])):
        result = run(*training(stage, *options))
        assert result.returncode == 0, result.stderr[-3000:]
        model = load_translator(tmp_path / "run" / stage / "model.safetensors")
        assert model.modalities.description() == names
        assert model.generator.modalities == model.generator.image_channels == len(names)
        assert set(model.target_windows) == set(model.source_errors) == set(sequences)
        assert (tmp_path / "run" / stage / "samples" / "epoch_0002.png").is_file()
    table = pandas.read_csv(cohort / "cohort.csv")
    table.head(1).drop(columns="pd").to_csv(cohort / "lacking.csv", index=False)
    student = "run/student/model.safetensors"
    result = run("utad_monai", "complete", "cohort/lacking.csv", "--model", student, "--output", "done")
    assert result.returncode == 0, result.stderr[-3000:]
    case_id = table["case"][0]
    made = tmp_path / "done" / "synthetic" / case_id / f"{case_id}_pd_synthetic.nii.gz"
    real = np.asarray(nibabel.load(cohort / table["pd"][0]).dataobj)
    assert np.corrcoef(np.asarray(nibabel.load(made).dataobj)[real > 0], real[real > 0])[0, 1] > 0
    sidecar = json.loads(made.with_name(f"{case_id}_pd_synthetic.json").read_text(encoding="utf-8"))
    assert list(sidecar["SourceModalities"]) == [name for name in names if name != "pd"]


@pytest.mark.command_line
def test_starter_is_refused_in_one_line_where_the_modalities_are_not_its_own(run: Run, tmp_path: Path) -> None:
    write_phantom_cohort(tmp_path / "cohort", cases=3, progress=False, sequences=THREE)
    result = run(*training("teacher", "--modalities", "['t1','t2','pd']", *SLICES))
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "knows flair, t1, t1ce, t2, the training is of t1, t2, pd" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(("sources", "norms"), [("several", True), ("one", False)])
def test_networks_know_as_many_modalities_as_they_are_told(sources: str, norms: bool) -> None:
    teacher = TumourAwareGenerator(2, sources=sources, conditional_norms=norms, gain_head=norms, modalities=5)
    student = student_from_teacher(teacher, "complete").eval()
    assert student.description()["modalities"] == TumourAwareGenerator(**student.description()).modalities == 5
    slices = torch.rand(1, 32, 32)
    translator = SliceTranslator(student, modalities=ModalitySet([*Modality, "pd"]))
    assert translator({Modality.T1: slices}, PD).shape == slices.shape
    critic = ModalityCritic((32, 32), 4, layers=4, game="least_squares", modalities=5)
    assert critic.description()["modalities"] == critic(slices[None]).modality_logits.shape[1] == 5
    assert not {"modalities"} & {
        *TumourAwareGenerator(2).description(),
        *ModalityCritic((32, 32), 4, layers=4).description(),
    }
    with pytest.raises(ValueError, match="knows 5 modalities, not flair, t1, t1ce, t2"):
        SliceTranslator(student)


def test_a_cohort_of_folders_shows_the_modalities_that_are_asked(tiny_cohort: Path) -> None:
    cases = find_cases(tiny_cohort, ModalitySet(["t2", "pd", "t1"]))
    assert {tuple(case.images) for case in cases} == {("t2", "t1")}
    assert {case.missing for case in cases} == {(PD,)}


def test_four_modalities_go_unsaid_in_a_model(student_file: Path) -> None:
    assert load_translator(student_file).modalities == FOUR_MODALITIES
    assert b'"modalities"' not in student_file.read_bytes()
