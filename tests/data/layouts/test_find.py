"""Cases are found below a folder, and whatever cannot be told apart is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from utad_monai.data import BRATS_2017_TO_2021, BRATS_2023, CohortError, find_cases, look_for_cases
from utad_monai.keys import Modality

WriteCase = Callable[..., Path]
OLD_ENDINGS = ["flair", "t1", "t1ce", "t2", "seg"]
NEW_ENDINGS = ["t2f", "t1n", "t1c", "t2w", "seg"]


def touch(root: Path, *names: str) -> None:
    """Make empty files: finding looks at names alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def touch_case(root: Path, case_id: str, endings: list[str] = OLD_ENDINGS, suffix: str = ".nii.gz") -> None:
    separator = "_" if endings[0] in OLD_ENDINGS else "-"
    touch(root, *[f"{case_id}/{Path(case_id).name}{separator}{ending}{suffix}" for ending in endings])


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("parent", ["", "HGG/", "LGG/", "train/site/"])
def test_brats_2017_to_2021_is_found(tmp_path: Path, parent: str, suffix: str) -> None:
    touch_case(tmp_path, f"{parent}Brats18_2013_2_1", suffix=suffix)
    (case,) = find_cases(tmp_path)
    folder = tmp_path / f"{parent}Brats18_2013_2_1"
    assert case.case_id == "Brats18_2013_2_1"
    assert case.layout is BRATS_2017_TO_2021
    assert case.layout.enhancing_label == 4
    assert dict(case.images) == {m: folder / f"Brats18_2013_2_1_{m}{suffix}" for m in Modality}
    assert list(case.images) == list(Modality)
    assert case.segmentation == folder / f"Brats18_2013_2_1_seg{suffix}"
    assert case.missing == ()
    assert case.files == (*case.images.values(), case.segmentation)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_brats_2023_is_found_with_its_own_names_and_enhancing_label(tmp_path: Path, suffix: str) -> None:
    name = "BraTS-GLI-00005-100"
    touch_case(tmp_path, name, NEW_ENDINGS, suffix)
    (case,) = find_cases(tmp_path)
    assert case.case_id == name
    assert case.layout is BRATS_2023
    assert case.layout.enhancing_label == 3
    assert {modality: path.name for modality, path in case.images.items()} == {
        Modality.FLAIR: f"{name}-t2f{suffix}",
        Modality.T1: f"{name}-t1n{suffix}",
        Modality.T1CE: f"{name}-t1c{suffix}",
        Modality.T2: f"{name}-t2w{suffix}",
    }
    assert case.segmentation is not None
    assert case.segmentation.name == f"{name}-seg{suffix}"


def test_cases_are_sorted_by_name_over_all_folders(tmp_path: Path) -> None:
    for name in ("LGG/B_2", "HGG/C_3", "LGG/A_1", "D_4"):
        touch_case(tmp_path, name)
    assert [case.case_id for case in find_cases(tmp_path)] == ["A_1", "B_2", "C_3", "D_4"]


def test_folder_of_one_case_is_a_cohort_of_one(tmp_path: Path) -> None:
    touch_case(tmp_path, "BraTS20_Training_001")
    (case,) = find_cases(str(tmp_path / "BraTS20_Training_001"))
    assert case.case_id == "BraTS20_Training_001"


def test_files_without_case_folders_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "A_t1.nii.gz", "A_t2.nii.gz", "B_t1.nii")
    assert [(case.case_id, list(case.images)) for case in find_cases(tmp_path)] == [
        ("A", [Modality.T1, Modality.T2]),
        ("B", [Modality.T1]),
    ]


def test_layouts_may_be_mixed(tmp_path: Path) -> None:
    touch_case(tmp_path, "BraTS2021_00001")
    touch_case(tmp_path, "BraTS-GLI-00001-000", NEW_ENDINGS)
    assert {case.case_id: case.layout for case in find_cases(tmp_path)} == {
        "BraTS2021_00001": BRATS_2017_TO_2021,
        "BraTS-GLI-00001-000": BRATS_2023,
    }


@pytest.mark.parametrize("name", ["BräTS_患者_001", "BraTS 001 (copy)", "case.with.dots"])
def test_unusual_names_are_kept(tmp_path: Path, name: str) -> None:
    touch_case(tmp_path, name)
    assert [case.case_id for case in find_cases(tmp_path)] == [name]


def test_missing_modalities_and_segmentation_are_fine(tmp_path: Path) -> None:
    touch_case(tmp_path, "A_1", ["t1", "t2"])
    (case,) = find_cases(tmp_path)
    assert list(case.images) == [Modality.T1, Modality.T2]
    assert case.missing == (Modality.FLAIR, Modality.T1CE)
    assert case.segmentation is None
    assert case.files == tuple(case.images.values())


def test_hidden_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    touch_case(tmp_path, "A_1")
    touch(tmp_path, "A_1/._A_1_flair.nii.gz", "._A_1", ".DS_Store", ".cache/B_2/B_2_t1.nii.gz", "A_1/.X_t1.nii.gz")
    touch(tmp_path, "name_mapping.csv", "A_1/A_1_adc.nii.gz", "A_1/A_1_t1.txt", "A_1/_t1.nii.gz", "A_1/t1.nii.gz")
    (case,) = find_cases(tmp_path)
    assert case.case_id == "A_1"
    assert len(case.files) == 5
    assert not any(path.name.startswith("._") for path in case.files)


def test_folders_too_deep_are_not_searched(tmp_path: Path) -> None:
    touch_case(tmp_path, "a/b/A_1")
    touch_case(tmp_path, "a/b/c/d/B_2")
    assert [case.case_id for case in find_cases(tmp_path)] == ["A_1"]


def test_links_in_circles_through_derivatives_come_to_an_end(tmp_path: Path) -> None:
    touch(tmp_path, "derivatives/x/sub-01/ses-1/anat/sub-01_ses-1_dseg.nii.gz", "A_1/A_1_t1.nii.gz")
    (tmp_path / "derivatives" / "one").symlink_to(tmp_path)
    (tmp_path / "derivatives" / "two").symlink_to(tmp_path)
    with pytest.raises(CohortError, match="collides"):
        find_cases(tmp_path)


@pytest.mark.parametrize("target", ["HGG/A_1/link", "HGG/A_1", "HGG", "."])
def test_links_in_circles_do_no_harm(tmp_path: Path, target: str) -> None:
    touch_case(tmp_path, "HGG/A_1")
    (tmp_path / "HGG" / "A_1" / "link").symlink_to(tmp_path / target)
    if target == "HGG/A_1":
        with pytest.raises(CohortError, match="collides"):
            find_cases(tmp_path)
    else:
        assert [case.case_id for case in find_cases(tmp_path)] == ["A_1"]


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="nowhere: is not a folder"):
        find_cases(tmp_path / "nowhere")


def test_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "cohort")
    with pytest.raises(CohortError, match="cohort: is not a folder"):
        find_cases(tmp_path / "cohort")


@pytest.mark.parametrize("names", [[], ["readme.txt"], ["scan.nii.gz"], ["A_1/A_1_seg.nii.gz"]])
def test_folder_without_a_case_is_an_error_that_shows_the_expected_names(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(CohortError, match=r"holds no case.*<case>_t1\.nii\.gz; <case>/<case>-t1n\.nii\.gz"):
        find_cases(tmp_path)


def test_segmentation_alone_is_no_case_beside_others(tmp_path: Path) -> None:
    touch(tmp_path, "A_1/A_1_seg.nii.gz")
    touch_case(tmp_path, "B_2")
    assert [case.case_id for case in find_cases(tmp_path)] == ["B_2"]


def test_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(CohortError, match=r"cannot be read \(Permission denied\)"):
        find_cases(tmp_path)


def test_same_image_twice_is_refused(tmp_path: Path) -> None:
    touch_case(tmp_path, "A_1")
    touch(tmp_path, "A_1/A_1_t1.nii")
    with pytest.raises(CohortError, match=r"case A_1: .*is there twice, also as A_1_t1\.nii") as refusal:
        find_cases(tmp_path)
    assert refusal.value.problems[0].case_id == "A_1"


def test_names_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    for name in ("BraTS_001", "BraTS_002", "brats_001", "BRATS_002"):
        touch_case(tmp_path, name)
    with pytest.raises(CohortError, match="collides with") as refusal:
        find_cases(tmp_path)
    assert {problem.case_id.casefold() for problem in refusal.value.problems} == {"brats_001", "brats_002"}


def test_same_case_in_two_folders_is_refused(tmp_path: Path) -> None:
    touch_case(tmp_path, "HGG/A_1")
    touch_case(tmp_path, "LGG/A_1")
    with pytest.raises(CohortError, match=r"duplicate case name: it collides with A_1 in .*HGG"):
        find_cases(tmp_path)


def test_visits_of_a_patient_share_the_patient(tmp_path: Path) -> None:
    for visit in ("000", "001"):
        touch_case(tmp_path, f"BraTS-GLI-00005-{visit}", NEW_ENDINGS)
    assert {case.patient_id for case in find_cases(tmp_path)} == {"BraTS-GLI-00005"}


@pytest.mark.parametrize(
    ("one", "other", "endings"),
    [
        ("BraTS-GLI-00005-100", "BraTS-GLI-00005-101", OLD_ENDINGS),
        ("UPENN-GBM-00001_11", "UPENN-GBM-00001_21", OLD_ENDINGS),
        ("BraTS19_TCIA01_131_1", "BraTS19_TCIA01_131_2", OLD_ENDINGS),
        ("sub-01_ses-01", "sub-01_ses-02", OLD_ENDINGS),
        ("P01_2019-03-01", "p01_2020-06-01", OLD_ENDINGS),
        ("P01-visit1", "P01-visit2", NEW_ENDINGS),
    ],
)
def test_one_rule_tells_the_patients_of_every_layout(tmp_path: Path, one: str, other: str, endings: list[str]) -> None:
    touch_case(tmp_path, one, endings)
    touch_case(tmp_path, other, endings)
    touch(tmp_path, f"task/imagesTr/{one}.nii.gz", f"task/imagesTr/{other}.nii.gz")
    assert len({case.patient_id for case in find_cases(tmp_path / "task")}) == 1
    shutil.rmtree(tmp_path / "task")
    first, second = find_cases(tmp_path)
    assert first.patient_id == second.patient_id
    assert first.visit != second.visit != ""


def test_a_list_of_patients_wins_over_the_names(tmp_path: Path) -> None:
    for name in ("A_1", "B_2", "P01_visit1", "P01_visit2"):
        touch_case(tmp_path, name)
    (tmp_path / "patients.csv").write_text(
        "case,patient,visit\nA_1,Z,\nB_2,z,\nP01_visit1,Y,1\nP01_visit2,,\ngone,Q,\n"
    )
    assert {case.case_id: case.patient_id for case in find_cases(tmp_path)} == {
        **{"A_1": "Z", "B_2": "Z", "P01_visit1": "Y", "P01_visit2": "P01"}
    }


def test_a_list_of_patients_outside_the_cohort_is_not_read(tmp_path: Path) -> None:
    touch_case(tmp_path / "cohort", "A_1")
    (tmp_path / "secret.csv").write_text("case,patient\nA_1,Z\n")
    (tmp_path / "cohort" / "patients.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(CohortError, match="leads outside the cohort"):
        find_cases(tmp_path / "cohort")


def test_every_problem_is_reported_at_once_and_sound_cases_are_kept(tmp_path: Path) -> None:
    for name in ("A_1", "B_2", "C_3"):
        touch_case(tmp_path, name)
    touch(tmp_path, "A_1/A_1_t1.nii", "B_2/B_2_seg.nii", "B_2/B_2_t2.nii")
    found = look_for_cases(tmp_path)
    assert [case.case_id for case in found.cases] == ["C_3"]
    assert [(problem.case_id, problem.file.name) for problem in found.problems] == [
        ("A_1", "A_1_t1.nii.gz"),
        ("B_2", "B_2_seg.nii.gz"),
        ("B_2", "B_2_t2.nii.gz"),
    ]
    with pytest.raises(CohortError) as refusal:
        find_cases(tmp_path)
    assert refusal.value.problems == found.problems


def test_colliding_cases_are_left_out_together(tmp_path: Path) -> None:
    for name in ("BraTS_001", "BraTS_002", "brats_001"):
        touch_case(tmp_path, name)
    assert [case.case_id for case in look_for_cases(tmp_path).cases] == ["BraTS_002"]


def test_all_layouts_may_stand_side_by_side(tmp_path: Path) -> None:
    touch_case(tmp_path, "BraTS2021_00001")
    touch_case(tmp_path, "BraTS-GLI-00001-000", NEW_ENDINGS)
    touch(tmp_path, "Task01/imagesTr/BRATS_001.nii.gz", "Task01/labelsTr/BRATS_001.nii.gz")
    touch(tmp_path, "bids/sub-01/anat/sub-01_T1w.nii.gz", "bids/sub-01/anat/sub-01_dseg.nii.gz")
    cases = find_cases(tmp_path)
    assert {case.case_id: case.layout.name for case in cases} == {
        "BRATS_001": "MSD Task01",
        "BraTS-GLI-00001-000": "BraTS 2023 and later",
        "BraTS2021_00001": "BraTS 2017-2021",
        "sub-01": "BIDS",
    }
    assert all(case.segmentation for case in cases)


def test_tiny_cohort_is_found(tiny_cohort: Path) -> None:
    assert len(find_cases(tiny_cohort)) == 6


@pytest.mark.real_data
def test_real_cohort_is_found(real_dataset_dir: Path) -> None:
    cases = find_cases(real_dataset_dir)
    assert cases
    assert all(case.missing == () and case.segmentation for case in cases)
