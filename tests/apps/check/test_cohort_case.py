"""Everything that is wrong with one case is reported, by kind, and nothing is raised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from utad_monai.apps.check import CaseGrid, CaseReport, FindingKind, check_case
from utad_monai.data import Preprocessing, find_cases
from utad_monai.keys import Modality

Check = Callable[[], CaseReport]


@pytest.fixture
def folder(tmp_path: Path, write_case: Callable[..., Path]) -> Path:
    return write_case(tmp_path / "cohort", "A_1")


@pytest.fixture
def check(folder: Path, tiny_preprocessing: Preprocessing) -> Check:
    """Give `check()`, which checks the only case below the folder's parent."""

    def _check() -> CaseReport:
        (case,) = find_cases(folder.parent)
        return check_case(case, tiny_preprocessing)

    return _check


def change(path: Path, edit: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> None:
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(edit(np.asarray(image.dataobj)), image.affine), path)


def kinds(report: CaseReport) -> list[FindingKind]:
    return [finding.kind for finding in report.warnings]


def test_a_sound_case_has_neither_problems_nor_warnings(check: Check) -> None:
    report = check()
    assert report.usable
    assert (report.problems, report.warnings) == ((), ())
    assert report.grid == CaseGrid((24, 20, 12), (1.5, 1.5, 3.0), orientation="LPS")
    assert report.parts == ("flair", "t1", "t1ce", "t2", "seg")
    assert len(set(report.digests.values())) == 4


def test_every_problem_of_every_file_is_reported(folder: Path, check: Check) -> None:
    (folder / "A_1_flair.nii.gz").write_bytes(b"")
    change(folder / "A_1_t1.nii.gz", lambda image: image[:-1])
    change(folder / "A_1_t1ce.nii.gz", np.zeros_like)
    change(folder / "A_1_seg.nii.gz", lambda labels: labels + 6)
    report = check()
    assert not report.usable
    reasons = " | ".join(f"{problem.file.name}: {problem.text}" for problem in report.problems)
    for expected in ("A_1_flair.nii.gz: is empty", "another shape", "A_1_t1ce.nii.gz: is all zero", "label values"):
        assert expected in reasons
    assert all(problem.case_id == "A_1" for problem in report.problems)


def test_warnings_of_refused_cases_are_kept(folder: Path, check: Check) -> None:
    (folder / "A_1_flair.nii.gz").write_bytes(b"")
    change(folder / "A_1_t1.nii.gz", lambda image: np.where(image > 0, image, -5))
    report = check()
    assert not report.usable
    found = [finding for finding in report.warnings if finding.kind is FindingKind.FILE]
    assert {finding.file for finding in found} == {folder / "A_1_t1.nii.gz"}
    assert found[0].text.startswith("has negative intensities")
    assert found[1].text == "has a background of -5, which is taken for 0"


def test_an_empty_segmentation_is_a_warning_of_its_file(folder: Path, check: Check) -> None:
    change(folder / "A_1_seg.nii.gz", np.zeros_like)
    (finding,) = check().warnings
    assert (finding.kind, finding.file) == (FindingKind.SEGMENTATION, folder / "A_1_seg.nii.gz")
    assert finding.text.startswith("is empty")


def test_a_cut_brain_is_a_warning_of_the_case(folder: Path) -> None:
    small = Preprocessing(frame_size_mm=(20, 20), image_size=(32, 32))
    (finding,) = check_case(find_cases(folder.parent)[0], small).warnings
    assert (finding.kind, finding.file) == (FindingKind.FILE, None)
    assert "larger than the frame" in finding.text


def test_saturation_is_a_warning(folder: Path, check: Check) -> None:
    change(folder / "A_1_t2.nii.gz", lambda image: image.clip(max=300))
    assert kinds(check()) == [FindingKind.INTENSITY]


def test_a_segmentation_of_the_brain_is_a_warning(folder: Path, check: Check) -> None:
    brain = np.asarray(nibabel.load(folder / "A_1_t1.nii.gz").dataobj) > 0
    change(folder / "A_1_seg.nii.gz", lambda labels: brain.astype(labels.dtype))
    assert kinds(check()) == [FindingKind.SEGMENTATION]


def test_a_name_that_is_a_formula_is_a_warning(folder: Path, write_case: Callable[..., Path]) -> None:
    write_case(folder.parent, "=1+1")
    case = find_cases(folder.parent)[0]
    (finding,) = check_case(case, Preprocessing()).warnings
    assert (finding.kind, finding.file) == (FindingKind.NAME, None)


def test_an_unstripped_image_is_a_warning_and_ends_the_look_for_mix_ups(
    folder: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utad_monai.data.quality.mix_up.suspected_swap", lambda _: (Modality.T1, Modality.T2))
    assert kinds(check()) == [FindingKind.MODALITY_MIX_UP]
    change(folder / "A_1_t1.nii.gz", lambda image: image + 1)
    assert kinds(check()) == [FindingKind.NOT_SKULL_STRIPPED]


def test_a_suspected_swap_names_both_modalities(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utad_monai.data.quality.mix_up.suspected_swap", lambda _: (Modality.T1, Modality.T1CE))
    (finding,) = check().warnings
    assert "most likely t1 and t1ce" in finding.text


def test_constant_images_have_no_digest(folder: Path, check: Check) -> None:
    change(folder / "A_1_t1.nii.gz", np.zeros_like)
    assert Modality.T1 not in check().digests


def test_channels_of_a_4d_file_are_named(folder: Path, tmp_path: Path, tiny_preprocessing: Preprocessing) -> None:
    images = [nibabel.load(folder / f"A_1_{modality}.nii.gz") for modality in Modality]
    volume = np.stack([np.asarray(image.dataobj) for image in images], axis=-1)
    volume[..., 3] = volume[..., 3].clip(max=300)
    (tmp_path / "task" / "imagesTr").mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(volume, images[0].affine), tmp_path / "task" / "imagesTr" / "A_1.nii.gz")
    (finding,) = check_case(find_cases(tmp_path / "task")[0], tiny_preprocessing).warnings
    assert finding.text.startswith("channel 3 (t2) is saturated")


@pytest.mark.parametrize("error", [MemoryError("too much"), RuntimeError("odd"), OSError("disk")])
def test_what_the_libraries_raise_is_a_problem_of_the_case(
    check: Check, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("utad_monai.apps.check.cohort.load_volumes", fail)
    report = check()
    assert not report.usable
    assert f"could not be checked ({type(error).__name__}: {error})" in report.problems[0].text
    assert report.grid is None


def test_a_case_without_a_readable_file_has_no_grid(folder: Path, check: Check) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"")
    report = check()
    assert report.grid is None
    assert len(report.problems) == 5
