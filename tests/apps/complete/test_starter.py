"""A cohort completed from the starter weights: calibrated on itself, and said so."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from utad_monai import Translator
from utad_monai.apps.cli import app
from utad_monai.apps.complete import Completion, CompletionSettings, complete_cohort, merge_shards, plan_completion
from utad_monai.apps.complete.intensities import CALIBRATION_FILE, measure_cohort
from utad_monai.apps.complete.settings import Shard
from utad_monai.data import find_cases
from utad_monai.inferers import TranslationOptions
from utad_monai.keys import Modality
from utad_monai.models import CheckpointError, load_translator, starter
from utad_monai.models.starter import MEANING

FLAIR, T1, T1CE, T2 = Modality


@pytest.fixture
def cohort(tmp_path: Path, write_case: Callable[..., Any]) -> Path:
    """Four cases; nobody has T1ce."""
    root = tmp_path / "cohort"
    write_case(root, "a", [FLAIR, T1], seed=1)
    write_case(root, "b", [FLAIR, T2], seed=2)
    write_case(root, "c", [T1, T2], seed=3, segmentation=False)
    write_case(root, "d", [T2], seed=4)
    return root


@pytest.fixture
def completion(cohort: Path, tmp_path: Path, starter_file: Path) -> Callable[..., Completion]:
    def _completion(folder: str = "out", **arguments: Any) -> Completion:
        return Completion(cohort, None, output_dir=tmp_path / folder, progress=False, **arguments)

    assert starter_file.is_file()
    return _completion


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def sidecar(out: Path, case: str, target: Modality) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((out / "synthetic" / case / f"{case}_{target}_synthetic.json").read_text())
    return read


def test_every_modality_is_made_from_all_sources_at_once_and_says_what_made_it(
    completion: Any, tmp_path: Path, starter_file: Path
) -> None:
    completed = complete_cohort(completion())
    assert completed.flawless
    assert [len(result.made) for result in completed.results] == [2, 2, 2, 3]
    said = sidecar(tmp_path / "out", "a", T2)
    assert said["Model"] == MEANING
    assert said["ModelSha256"] == load_translator(starter_file).sha256
    assert said["SourceModalities"] == {"flair": 0.5, "t1": 0.5}
    assert len(said["SourceSha256"]) == 2
    assert said["Settings"]["sources_at_once"] is True
    assert "fusion" not in said["Settings"]
    assert said["Settings"]["calibration"]["patients"] == 3
    assert said["Settings"]["flips"] is True
    assert "Uncertainty" not in said
    assert not list((tmp_path / "out").rglob("*_uncertainty.nii.gz"))
    header = nibabel.load(tmp_path / "out" / "synthetic" / "a" / "a_t2_synthetic.nii.gz").header
    assert bytes(header["descrip"].tobytes()).startswith(b"SYNTHETIC t2 from flair+t1,")


def test_manifest_and_log_say_it_in_one_line(completion: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="utad_monai"):
        complete_cohort(completion())
    own = "calibrated on this cohort's patients (flair of 2, t1 of 2, t2 of 3)"
    line = f"{MEANING}; {own}, and on the average that comes with UTAD-MONAI (t1ce of 16)"
    assert [record.message for record in caplog.records].count(line) == 1
    protocol = json.loads((tmp_path / "out" / "manifest.json").read_text())["protocol"]
    assert protocol["model"] == line
    assert set(protocol["calibration"]) == set(Modality)
    assert protocol["model_training"]["stage"] == "starter"


def test_volumes_have_the_intensities_of_the_cohort(completion: Any, cohort: Path, tmp_path: Path) -> None:
    complete_cohort(completion())
    windows, _ = measure_cohort(find_cases(cohort), starter.load_starter().preprocessing, progress=False)
    assert sidecar(tmp_path / "out", "a", T2)["Settings"]["window"] == [windows[T2].lower, windows[T2].upper]
    made = np.asarray(nibabel.load(tmp_path / "out" / "synthetic" / "a" / "a_t2_synthetic.nii.gz").dataobj)
    real = np.asarray(nibabel.load(cohort / "b" / "b_t2.nii.gz").dataobj)
    assert np.median(made[made > 0]) == pytest.approx(np.median(real[real > 0]), rel=0.15)
    complete_cohort(completion("plain", settings=CompletionSettings(calibrate=False)))
    plain = np.asarray(nibabel.load(tmp_path / "plain" / "synthetic" / "a" / "a_t2_synthetic.nii.gz").dataobj)
    assert not np.array_equal(made, plain)
    assert "calibration" not in sidecar(tmp_path / "plain", "a", T2)["Settings"]


def test_modality_that_nobody_has_is_made_with_a_warning_in_the_range_of_the_others(
    completion: Any, tmp_path: Path, cohort: Path
) -> None:
    completed = complete_cohort(completion())
    said = sidecar(tmp_path / "out", "a", T1CE)
    assert any("no t1ce image to take intensities from" in warning for warning in said["Warnings"])
    assert said["Settings"]["calibration"]["typical"] is True
    assert "other modalities" in said["Intensities"]
    windows, _ = measure_cohort(find_cases(cohort), starter.load_starter().preprocessing, progress=False)
    lower, upper = said["Settings"]["window"]
    assert min(window.lower for window in windows.values()) <= lower <= max(window.lower for window in windows.values())
    assert min(window.upper for window in windows.values()) <= upper <= max(window.upper for window in windows.values())
    assert any("t1ce" in warning for warning in completed.results[0].warnings)
    assert not any("to take intensities from" in warning for warning in sidecar(tmp_path / "out", "a", T2)["Warnings"])


def test_calibration_is_stored_and_a_repetition_opens_no_image_for_it(
    completion: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete_cohort(completion())
    before = content(tmp_path / "out")
    stored = json.loads((tmp_path / "out" / CALIBRATION_FILE).read_text())
    assert {m for m, kept in stored["maps"].items() if "typical" not in kept} == {"flair", "t1", "t2"}
    monkeypatch.setattr("utad_monai.apps.complete.intensities.measure_cohort", lambda *_: pytest.fail("measured again"))
    again = complete_cohort(completion())
    assert all(result.kept for result in again.results)
    assert content(tmp_path / "out") == before


def test_another_image_in_the_cohort_changes_what_it_calibrates_and_nothing_else(
    completion: Any, cohort: Path, write_case: Callable[..., Any]
) -> None:
    complete_cohort(completion())
    write_case(cohort, "e", [FLAIR, T1, T1CE], seed=9)
    again = complete_cohort(completion())
    kept = {(result.case_id, volume.target): volume.kept for result in again.results for volume in result.volumes}
    assert kept["a", T2]
    assert not kept["a", T1CE]


def test_several_workers_and_shards_write_the_same_bytes(completion: Any, tmp_path: Path, starter_file: Path) -> None:
    complete_cohort(completion("one"))
    complete_cohort(replace(completion("two", workers=2), model=starter_file))  # workers know nothing of the fixture
    for index in (0, 1):
        complete_cohort(completion("three", shard=Shard(index, 2)))
    merge_shards(completion("three"))
    assert content(tmp_path / "one") == content(tmp_path / "two")
    synthetic, sharded = (
        {name: data for name, data in content(tmp_path / folder).items() if name.startswith(("synthetic", "manifest"))}
        for folder in ("one", "three")
    )
    assert synthetic == sharded


def test_plan_says_what_would_translate_and_knows_what_is_finished(completion: Any, tmp_path: Path) -> None:
    plan = plan_completion(completion())
    assert plan.model == f"{MEANING}; to be calibrated on this cohort"
    assert not any(volume.finished or volume.reason for volumes in plan.cases.values() for volume in volumes)
    assert not (tmp_path / "out").exists()
    complete_cohort(completion())
    finished = plan_completion(completion())
    assert "calibrated on this cohort's patients" in finished.model
    assert all(volume.finished for volumes in finished.cases.values() for volume in volumes)


def test_fuse_has_no_effect_and_that_is_said(completion: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    complete_cohort(completion("plain"))
    with caplog.at_level(logging.WARNING, logger="utad_monai"):
        complete_cohort(completion("fused", settings=CompletionSettings(options=TranslationOptions(fusion="mean"))))
    assert "--fuse mean has no effect: this model takes all sources at once" in caplog.text
    assert content(tmp_path / "plain") == content(tmp_path / "fused")


def test_uncertainty_is_written_when_it_is_asked(completion: Any, tmp_path: Path) -> None:
    complete_cohort(completion(settings=CompletionSettings(options=TranslationOptions(uncertainty=True, flips=False))))
    written = {path.name for path in (tmp_path / "out").rglob("*_uncertainty.nii.gz")}
    assert {"a_t2_uncertainty.nii.gz", "c_flair_uncertainty.nii.gz"} <= written
    assert not any(name.startswith("d_") for name in written)  # it has one source


def test_mirror_images_can_be_left_out(completion: Any, tmp_path: Path) -> None:
    complete_cohort(completion("with"))
    complete_cohort(completion("without", settings=CompletionSettings(options=TranslationOptions(flips=False))))
    assert json.loads((tmp_path / "with" / "manifest.json").read_text())["protocol"]["settings"]["flips"] is True
    assert sidecar(tmp_path / "without", "a", T2)["Settings"]["flips"] is False
    made, plain = (
        nibabel.load(tmp_path / folder / "synthetic" / "a" / "a_t2_synthetic.nii.gz").get_fdata()
        for folder in ("with", "without")
    )
    assert not np.array_equal(made, plain)


def test_command_needs_no_model(cohort: Path, starter_file: Path, tmp_path: Path) -> None:
    assert starter_file.is_file()
    ran = CliRunner().invoke(app, ["complete", str(cohort), "--output", str(tmp_path / "out"), "--engine", "torch"])
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "out" / CALIBRATION_FILE).is_file()
    assert sidecar(tmp_path / "out", "a", T2)["Settings"]["flips"] is True
    plain = ["complete", str(cohort), "--output", str(tmp_path / "plain"), "--engine", "torch", "--no-flips"]
    assert CliRunner().invoke(app, plain).exit_code == 0
    assert sidecar(tmp_path / "plain", "a", T2)["Settings"]["flips"] is False
    shown = CliRunner().invoke(app, ["complete", str(cohort), "--output", str(tmp_path / "other"), "--dry-run"])
    assert MEANING in shown.output


def test_command_without_a_starter_says_what_to_do(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starter, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(CheckpointError, match="give a student with --model"):
        complete_cohort(Completion(cohort, None, output_dir=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_python_door_opens_the_starter(cohort: Path, starter_file: Path, tmp_path: Path) -> None:
    assert starter_file.is_file()
    case = {"t1": cohort / "a" / "a_t1.nii.gz", "flair": cohort / "a" / "a_flair.nii.gz"}
    alone = Translator.starter()
    assert {one.typical for one in alone.cohort.calibration.maps.values()} == {True}
    unit = alone.complete(case)
    assert set(unit) == {T1CE, T2}
    assert 0 < float(unit[T2].image.max()) <= 1
    assert set(unit[T2].weights) == {FLAIR, T1}
    calibrated = Translator.starter(cohort).complete(case)[T2].image
    complete_cohort(Completion(cohort, None, output_dir=tmp_path / "out", progress=False))
    written = nibabel.load(tmp_path / "out" / "synthetic" / "a" / "a_t2_synthetic.nii.gz").get_fdata()
    np.testing.assert_allclose(calibrated[0], written, atol=1.0)
    assert float(calibrated.max()) > 100
