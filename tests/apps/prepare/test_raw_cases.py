"""Cases are found in folders; what is ambiguous is said, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.raw_cases import RawCase, find_raw_cases
from utad_monai.apps.prepare.raw_images import RawFormat
from utad_monai.data.layouts.case import LINKS_VARIABLE
from utad_monai.data.quality.finding import CohortError
from utad_monai.data.sequences import RawRole
from utad_monai.runtime.files import write_json

Scanner = dict[str, Callable[..., Any]]


@pytest.fixture
def volume() -> sitk.Image:
    """Give a small volume."""
    return sitk.GaussianSource(sitk.sitkFloat32, [8, 7, 5], [3, 3, 3], [4, 3, 2], 100)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def only(root: Path) -> RawCase:
    (case,) = find_raw_cases(root)
    return case


def test_files_and_dicom_series_of_a_case_are_recognised(tmp_path: Path, volume: sitk.Image, scanner: Scanner) -> None:
    case = tmp_path / "P1_t1_study"  # the case's own name says t1: it must not count
    touch(case / "P1_t1_study_flair.nii.gz")
    touch(case / "T2w" / "image.nrrd")
    touch(case / "P1_t1_study_seg.nii.gz")
    touch(case / "brain_mask.mha")
    touch(case / ".hidden_t1.nii.gz")
    touch(case / "readme.txt")
    scanner["write_dicom"](case / "dicom", volume, "T1 MPRAGE", 1)
    scanner["write_dicom"](case / "dicom", volume, "T1 MPRAGE +C", 2)
    scanner["write_dicom"](case / "dicom", volume, "ep2d DWI", 3)
    found = only(tmp_path)
    assert found.problems == ()
    assert {role: source.format for role, source in found.sources.items()} == {
        RawRole.FLAIR: RawFormat.NIFTI,
        RawRole.T1: RawFormat.DICOM,
        RawRole.T1CE: RawFormat.DICOM,
        RawRole.T2: RawFormat.NRRD,
        RawRole.SEGMENTATION: RawFormat.NIFTI,
        RawRole.BRAIN_MASK: RawFormat.META_IMAGE,
    }
    assert len(found.unused) == 1
    assert "DWI" in found.unused[0]


def test_two_images_of_one_modality_are_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path / "c" / "t1_a.nii.gz")
    touch(tmp_path / "c" / "t1_b.nii.gz")
    (problem,) = only(tmp_path).problems
    assert "2 images claim t1: t1_a.nii.gz, t1_b.nii.gz" in str(problem)
    assert "CSV" in problem.remedy
    assert problem.case_id == "c"


def test_a_name_with_two_meanings_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "c" / "t1_t2.nii.gz")
    assert "can be t1 or t2" in str(only(tmp_path).problems[0])


def test_a_series_whose_folder_says_something_else_is_refused(
    tmp_path: Path, volume: sitk.Image, scanner: Scanner
) -> None:
    scanner["write_dicom"](tmp_path / "c" / "T1_POST", volume, "T1 MPRAGE")
    (problem,) = only(tmp_path).problems
    assert "can be t1 or t1ce" in str(problem)


def test_a_silent_description_leaves_the_word_to_the_folder(
    tmp_path: Path, volume: sitk.Image, scanner: Scanner
) -> None:
    scanner["write_dicom"](tmp_path / "c" / "FLAIR" / "s1", volume, "series 3")
    assert set(only(tmp_path).sources) == {RawRole.FLAIR}


def test_other_kinds_of_images_are_not_used(tmp_path: Path, volume: sitk.Image, scanner: Scanner) -> None:
    touch(tmp_path / "c" / "t1.nii.gz")
    scanner["write_dicom"](tmp_path / "c" / "ct", volume, "T1", **{"0008_0060": "CT"})
    found = only(tmp_path)
    assert found.problems == ()
    assert len(found.unused) == 1


def test_what_is_not_recognised_is_listed(tmp_path: Path) -> None:
    touch(tmp_path / "c" / "t1.nii.gz")
    touch(tmp_path / "c" / "scan_7.nrrd")
    (tmp_path / "c" / "report").write_bytes(bytes(128) + b"DICM" + b"no image")
    found = only(tmp_path)
    assert found.unknown == ("scan_7.nrrd", "report")
    assert found.problems == ()


def test_a_case_without_a_known_image_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "c" / "scan_7.nrrd")
    assert "no image is recognised" in str(only(tmp_path).problems[0])
    assert "scan_7.nrrd" in str(only(tmp_path).problems[0])


def test_a_link_that_leaves_the_cohort_is_refused(tmp_path: Path) -> None:
    outside = touch(tmp_path / "outside" / "t1.nii.gz")
    (tmp_path / "raw" / "c").mkdir(parents=True)
    (tmp_path / "raw" / "c" / "t1.nii.gz").symlink_to(outside)
    (problem,) = only(tmp_path / "raw").problems
    assert "outside" in problem.text
    assert LINKS_VARIABLE in str(problem)


def test_links_lead_where_the_user_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = touch(tmp_path / "outside" / "t1.nii.gz")
    (tmp_path / "raw" / "c").mkdir(parents=True)
    (tmp_path / "raw" / "c" / "t1.nii.gz").symlink_to(outside)
    monkeypatch.setenv(LINKS_VARIABLE, str(tmp_path / "outside"))
    assert set(only(tmp_path / "raw").sources) == {RawRole.T1}
    monkeypatch.setenv(LINKS_VARIABLE, str(tmp_path / "elsewhere"))
    assert only(tmp_path / "raw").problems


def test_a_linked_case_is_read_where_the_user_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "outside" / "c" / "t1.nii.gz")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "c").symlink_to(tmp_path / "outside" / "c")
    assert only(tmp_path / "raw").problems
    monkeypatch.setenv(LINKS_VARIABLE, str(tmp_path / "outside"))
    assert set(only(tmp_path / "raw").sources) == {RawRole.T1}


def test_content_of_git_annex_is_prepared(tmp_path: Path) -> None:
    key = touch(tmp_path / "dataset" / ".git" / "annex" / "objects" / "x1" / "Qz" / "KEY.nii.gz" / "KEY.nii.gz")
    (tmp_path / "dataset" / "raw" / "c").mkdir(parents=True)
    (tmp_path / "dataset" / "raw" / "c" / "t1.nii.gz").symlink_to(Path("../..") / key.relative_to(tmp_path / "dataset"))
    assert set(only(tmp_path / "dataset" / "raw").sources) == {RawRole.T1}


def test_a_link_to_nothing_is_not_passed_over(tmp_path: Path) -> None:
    touch(tmp_path / "c" / "t2.nii.gz")
    (tmp_path / "c" / "t1.nii.gz").symlink_to(tmp_path / "c" / "gone.nii.gz")
    assert set(only(tmp_path).sources) == {RawRole.T1, RawRole.T2}


def test_folders_without_images_are_no_cases(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "t1.nii.gz")
    touch(tmp_path / "notes" / "notes.txt")
    touch(tmp_path / ".cache" / "t1.nii.gz")
    touch(tmp_path / "loose_t1.nii.gz")
    assert [case.case_id for case in find_raw_cases(tmp_path)] == ["a"]


def test_no_case_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="holds no case"):
        find_raw_cases(tmp_path)
    with pytest.raises(CohortError, match="is not a folder"):
        find_raw_cases(tmp_path / "missing")


@pytest.mark.parametrize(
    ("folder", "name", "role"),
    [
        ("patient7", "sub-07_T1w", RawRole.T1),
        ("patient7", "sub-07_acq-postgd_T1w", RawRole.T1CE),
        ("x", "sub-anna_ses-post_T2w", RawRole.T2),
        ("x", "sub-ctrl1_FLAIR", RawRole.FLAIR),
        ("x", "sub-T1pre_ce-gd_T1w", RawRole.T1CE),
        ("x", "sub07_T1", RawRole.T1),
    ],
)
def test_sub_is_a_subject_in_a_folder_of_another_name(tmp_path: Path, folder: str, name: str, role: RawRole) -> None:
    touch(tmp_path / folder / f"{name}.nii.gz")
    assert set(only(tmp_path).sources) == {role}


@pytest.mark.parametrize("name", ["T1_SUB", "sub_T1_post", "SUB-T1"])
def test_subtraction_is_still_not_used(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "c" / f"{name}.nii.gz")
    touch(tmp_path / "c" / "t2.nii.gz")
    assert set(only(tmp_path).sources) == {RawRole.T2}


def test_a_contradiction_between_name_and_header_is_refused(
    tmp_path: Path, volume: sitk.Image, scanner: Scanner
) -> None:
    scanner["write_dicom"](tmp_path / "c", volume, "T1 nativ", **{"0018_0010": "Gadobutrol"})
    (problem,) = only(tmp_path).problems
    assert "description 'T1 nativ' says t1, contrast agent Gadobutrol says t1ce" in problem.text


def test_a_sidecar_beside_a_file_is_heard(tmp_path: Path) -> None:
    write_json(touch(tmp_path / "c" / "5.nii.gz").with_name("5.json"), {"SeriesDescription": "t1_mprage_KM"})
    write_json(
        touch(tmp_path / "c" / "6_T1.nii.gz").with_name("6_T1.json"),
        {"EchoTime": 0.1, "RepetitionTime": 9, "InversionTime": 2.5},
    )
    found = only(tmp_path)
    assert set(found.sources) == {RawRole.T1CE}
    assert "says flair" in found.problems[0].text


def test_slices_in_series_of_their_own_are_one_problem(tmp_path: Path, volume: sitk.Image, scanner: Scanner) -> None:
    scanner["write_dicom"](tmp_path / "c", volume, "T1")
    for number, path in enumerate(sorted((tmp_path / "c").iterdir())):
        one = pydicom.dcmread(path)
        one.SeriesInstanceUID, one.SeriesNumber = f"1.2.3.{number + 1}", number + 1
        one.save_as(path)
    (problem,) = only(tmp_path).problems
    assert "5 DICOM series of one slice claim t1" in problem.text
    assert "dcm2niix -m y" in problem.remedy


def test_unreadable_dicom_files_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "c" / "t1.nii.gz")
    for number in range(28):
        touch(tmp_path / "c" / "4" / f"IM{number}.dcm")
    assert only(tmp_path).unknown == ("28 DICOM files without a readable image in 4/ (IM0.dcm, ...)",)


def test_a_case_of_unreadable_dicom_files_is_a_problem(tmp_path: Path) -> None:
    touch(tmp_path / "c" / "IM1.dcm")
    assert "no image is recognised" in only(tmp_path).problems[0].text
