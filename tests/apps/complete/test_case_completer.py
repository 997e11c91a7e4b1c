"""One case: what it lacks is made once, kept when finished, and refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from utad_monai.apps.complete import CaseCompleter, CompletionSettings, PlannedVolume
from utad_monai.data import Case, find_cases
from utad_monai.inferers import TranslationOptions, VolumeTranslator
from utad_monai.keys import CompletionStatus, Modality
from utad_monai.models import TranslatorModel
from utad_monai.transforms import IntensityWindow

FLAIR, T1, T1CE, T2 = Modality


@pytest.fixture
def case(tmp_path: Path, write_case: Callable[..., Any]) -> Case:
    write_case(tmp_path / "cohort", "a", [FLAIR, T1CE, T2], seed=3)
    (found,) = find_cases(tmp_path / "cohort")
    return found


@pytest.fixture
def completer(student_translator: TranslatorModel, tmp_path: Path) -> Callable[..., CaseCompleter]:
    """Give `completer(windows=None, resume=True, model=..., **settings)`."""

    def _completer(
        windows: Any = None, resume: bool = True, model: TranslatorModel = student_translator, **choices: Any
    ) -> CaseCompleter:
        names = {one.name for one in fields(TranslationOptions)} & set(choices)
        options = TranslationOptions(**{name: choices.pop(name) for name in names})
        settings = CompletionSettings(options=options, **choices)
        volumes = VolumeTranslator(model, "cpu", batch_size=8, options=options)
        return CaseCompleter(volumes, tmp_path / "out", settings=settings, windows=windows, resume=resume)

    return _completer


def watch(completer: CaseCompleter, monkeypatch: pytest.MonkeyPatch) -> list[Modality]:
    """Return a list that fills with the modalities that are really translated."""
    asked: list[Modality] = []
    translate = completer.volumes.translate

    def _watched(loaded: Any, target: Modality, *rest: Any) -> Any:
        asked.append(target)
        return translate(loaded, target, *rest)

    monkeypatch.setattr(completer.volumes, "translate", _watched)
    return asked


def stamps(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*.*"))
        if path.is_file()
    }


def test_sidecar_says_where_everything_comes_from(
    completer: Any, case: Case, student_translator: TranslatorModel
) -> None:
    result = completer(fusion="mean", uncertainty=True).complete(case)
    (volume,) = result.made
    sidecar = json.loads((case.images[T2].parents[2] / "out" / "a" / "a_t1_synthetic.json").read_text())
    assert volume.details == sidecar
    assert sidecar["SourceModalities"] == {"flair": 0.333333, "t1ce": 0.333333, "t2": 0.333333}
    assert sidecar["ModelSha256"] == student_translator.sha256
    assert sidecar["ValidationErrors"] == {"t2": 0.1, "flair": 0.2, "t1ce": 0.3}
    assert sidecar["Settings"]["fusion"] == "mean"
    assert sidecar["Settings"]["window"] == [40.0, 901.0]
    assert "training cohort" in sidecar["Intensities"]
    assert "standard deviation" in sidecar["Uncertainty"]
    consistency = sidecar["SliceConsistency"]
    assert consistency["translated_to_sources"] == pytest.approx(
        consistency["translated"] / consistency["sources"], abs=1e-3
    )
    assert result.warnings == tuple(sidecar["Warnings"]) != ()


def test_finished_volumes_are_not_made_again(completer: Any, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    first = completer().complete(case)
    before = stamps(completer().output_dir)
    again = completer()
    asked = watch(again, monkeypatch)
    monkeypatch.setattr(again.volumes, "load", lambda _: pytest.fail("nothing needs to be loaded"))
    second = again.complete(case)
    assert asked == []
    assert stamps(again.output_dir) == before
    assert second.kept
    assert not first.kept
    assert [replace(v, kept=False) for v in second.volumes] == list(first.volumes)
    assert second.warnings == first.warnings


def test_only_what_is_not_finished_is_made(completer: Any, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    both = completer(targets=["t1", "t2"])
    both.complete(case)
    whole = stamps(both.output_dir)
    (both.output_dir / "a" / "a_t2_synthetic.json").unlink()
    asked = watch(both, monkeypatch)
    assert both.complete(case).status is CompletionStatus.DONE
    assert asked == [T2]
    assert {name: data for name, (data, _) in stamps(both.output_dir).items()} == {n: d for n, (d, _) in whole.items()}


@pytest.mark.parametrize("change", [{"fusion": "mean"}, {"smooth_mm": 2.0}, {"dtype": "float32"}, {"resume": False}])
def test_other_settings_make_it_again(
    completer: Any, case: Case, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    completer().complete(case)
    other = completer(**change)
    asked = watch(other, monkeypatch)
    other.complete(case)
    assert asked == [T1]


def test_changed_source_makes_it_again(completer: Any, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    completer().complete(case)
    image = nibabel.load(case.images[FLAIR])
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj) + 0, np.asarray(image.affine) + 0.0), case.images[FLAIR])
    case.images[FLAIR].write_bytes(case.images[FLAIR].read_bytes() + b"\0")
    other = completer()
    asked = watch(other, monkeypatch)
    other.complete(case)
    assert asked == [T1]


def test_plan_knows_what_is_finished_without_loading(completer: Any, case: Case) -> None:
    assert completer().plan(case) == (PlannedVolume(T1, (FLAIR, T1CE, T2)),)
    completer().complete(case)
    assert completer().plan(case) == (PlannedVolume(T1, (FLAIR, T1CE, T2), finished=True),)
    assert completer(fusion="mean", sources=["t2"]).plan(case) == (PlannedVolume(T1, (T2,)),)
    case.images[FLAIR].unlink()
    (planned,) = completer().plan(case)
    assert "no such file" in planned.reason


@pytest.mark.parametrize(("intensities", "low", "high"), [("unit", 0, 1), ("cohort", 5, 77), ("training", 40, 901)])
def test_intensities_are_in_the_asked_range(
    completer: Any, case: Case, intensities: str, low: float, high: float
) -> None:
    made = completer(windows={T1: IntensityWindow(5.0, 77.0)}, intensities=intensities)
    made.complete(case)
    voxels = np.asarray(nibabel.load(made.output_dir / "a" / "a_t1_synthetic.nii.gz").dataobj)
    brain = voxels[voxels > 0]
    assert low <= brain.min() < brain.max() <= high
    assert voxels.dtype == (np.int16 if intensities == "training" else np.float32)


def test_cohort_without_the_modality_has_no_intensities_to_give(completer: Any, case: Case) -> None:
    result = completer(windows={T2: IntensityWindow(0.0, 9.0)}, intensities="cohort").complete(case)
    assert result.status is CompletionStatus.REFUSED
    assert "no case of the cohort shows the intensities of t1" in result.reasons[0]


def test_one_target_that_cannot_be_made_does_not_stop_the_other(
    completer: Any, case: Case, student_translator: TranslatorModel
) -> None:
    windows = {m: w for m, w in student_translator.target_windows.items() if m is not T1}
    result = completer(model=replace(student_translator, target_windows=windows), targets=["t1", "t2"]).complete(case)
    assert [(v.target, v.status) for v in result.volumes] == [(T1, "refused"), (T2, "done")]
    assert "without t1 images" in result.reasons[0]


def test_case_that_is_not_skull_stripped_is_refused(completer: Any, case: Case) -> None:
    image = nibabel.load(case.images[T2])
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj) + 50, image.affine), case.images[T2])
    result = completer().complete(case)
    assert result.status is CompletionStatus.REFUSED
    assert result.reasons[0].startswith("case a: the t2 image has no background of 0")
    assert not (completer().output_dir / "a").exists()


def test_weights_that_the_model_does_not_store_refuse_the_volume(
    completer: Any, case: Case, student_translator: TranslatorModel
) -> None:
    result = completer(model=replace(student_translator, source_errors={}), fusion="weighted").complete(case)
    assert "stores no validation error" in result.reasons[0]


def test_nothing_missing_is_skipped(completer: Any, tmp_path: Path, write_case: Callable[..., Any]) -> None:
    write_case(tmp_path / "whole", "b")
    (case,) = find_cases(tmp_path / "whole")
    result = completer().complete(case)
    assert (result.status, result.reasons) == (CompletionStatus.SKIPPED, ("nothing is missing",))


def test_image_that_may_be_the_target_stops_that_target_alone(
    completer: Any, tmp_path: Path, write_case: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_case(tmp_path / "cohort", "a", [FLAIR, T1CE], seed=3)
    (tmp_path / "cohort" / "a" / "a_T2w.nii.gz").write_bytes(b"a real image")
    (case,) = find_cases(tmp_path / "cohort")
    careful = completer()
    asked = watch(careful, monkeypatch)
    assert [volume.reason != "" for volume in careful.plan(case)] == [False, True]
    result = careful.complete(case)
    assert asked == [T1]
    assert (result.status, [volume.target for volume in result.made]) == (CompletionStatus.REFUSED, [T1])
    (reason,) = result.reasons
    assert "a_T2w.nii.gz" in reason
    assert "--ignore-unclaimed" in reason
    assert not any("a_T2w.nii.gz" in warning for warning in result.warnings)  # the reason says it
    assert not (careful.output_dir / "a" / "a_t2_synthetic.nii.gz").exists()


def test_image_that_may_be_the_target_is_ignored_when_told_so_and_still_named(
    completer: Any, tmp_path: Path, write_case: Callable[..., Any]
) -> None:
    write_case(tmp_path / "cohort", "a", [FLAIR, T1, T1CE], seed=3)
    (tmp_path / "cohort" / "a" / "a_T2w.nii.gz").write_bytes(b"a real image")
    (case,) = find_cases(tmp_path / "cohort")
    plain = completer(ignore_unclaimed=True)
    result = plain.complete(case)
    assert [volume.target for volume in result.made] == [T2]
    assert any("a_T2w.nii.gz" in warning for warning in result.warnings)
    sidecar = json.loads((plain.output_dir / "a" / "a_t2_synthetic.json").read_text())
    assert not any("a_T2w" in warning for warning in sidecar["Warnings"])  # its bytes do not depend on it
    refused = completer().complete(case)  # what was made before does not count either
    assert refused.made == ()


def test_image_that_nobody_needs_is_a_warning_of_a_target_that_is_asked(
    completer: Any, tmp_path: Path, write_case: Callable[..., Any]
) -> None:
    write_case(tmp_path / "cohort", "a", [FLAIR, T1CE], seed=3)
    (tmp_path / "cohort" / "a" / "a_T2w.nii.gz").write_bytes(b"a real image")
    (case,) = find_cases(tmp_path / "cohort")
    result = completer(targets=["t1"]).complete(case)
    assert result.status is CompletionStatus.DONE
    assert any("a_T2w.nii.gz" in warning for warning in result.warnings)
