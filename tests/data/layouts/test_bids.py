"""BIDS cohorts are read by entity and suffix, and what is there twice is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from utad_monai.data import BIDS, CohortError, find_cases, look_for_cases
from utad_monai.keys import Modality


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_a_subject_with_sessions_is_one_patient_with_several_cases(tmp_path: Path) -> None:
    for session in ("ses-1", "ses-2"):
        touch(tmp_path, f"sub-01/{session}/anat/sub-01_{session}_T1w.nii.gz")
    cases = find_cases(tmp_path)
    assert [(case.case_id, case.patient_id) for case in cases] == [
        ("sub-01_ses-1", "sub-01"),
        ("sub-01_ses-2", "sub-01"),
    ]
    assert all(case.layout is BIDS for case in cases)


def test_suffix_and_contrast_agent_tell_the_modality(tmp_path: Path) -> None:
    folder = "sub-01/anat/sub-01"
    endings = ["FLAIR", "T1w", "ce-gadolinium_T1w", "acq-tse_T2w", "dseg"]
    touch(tmp_path, *[f"{folder}_{ending}.nii.gz" for ending in endings])
    (case,) = find_cases(tmp_path)
    assert (case.case_id, case.patient_id) == ("sub-01", "sub-01")
    assert {modality: path.name for modality, path in case.images.items()} == {
        Modality.FLAIR: "sub-01_FLAIR.nii.gz",
        Modality.T1: "sub-01_T1w.nii.gz",
        Modality.T1CE: "sub-01_ce-gadolinium_T1w.nii.gz",
        Modality.T2: "sub-01_acq-tse_T2w.nii.gz",
    }
    assert list(case.images) == list(Modality)
    assert case.segmentation == tmp_path / f"{folder}_dseg.nii.gz"


@pytest.mark.parametrize("entities", ["acq-3d_ce-gd", "ce-dotarem", "ce-1_run-1", "space-MNI_ce-x_desc-brain"])
def test_any_contrast_agent_among_the_entities_is_t1ce(tmp_path: Path, entities: str) -> None:
    touch(tmp_path, f"sub-01/anat/sub-01_{entities}_T1w.nii")
    assert list(find_cases(tmp_path)[0].images) == [Modality.T1CE]


@pytest.mark.parametrize(
    "path",
    [
        "sub-01/ses-2/anat/sub-01_ses-2_dseg.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_space-T1w_seg.nii.gz",
        "derivatives/manual/sub-01/ses-2/anat/sub-01_ses-2_desc-tumour_dseg.nii.gz",
        "derivatives/sub-01_ses-2_seg.nii",
    ],
)
def test_the_segmentation_lies_beside_the_image_or_in_derivatives(tmp_path: Path, path: str) -> None:
    touch(tmp_path, "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz", path)
    (case,) = find_cases(tmp_path)
    assert case.segmentation == tmp_path / path


@pytest.mark.parametrize("folder", ["derivatives/strip", "sourcedata"])
def test_images_in_derivatives_are_passed_over_unless_the_root_lies_there(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", f"{folder}/sub-01/anat/sub-01_desc-brain_T1w.nii.gz")
    (raw,) = find_cases(tmp_path)
    (processed,) = find_cases(tmp_path / folder)
    assert raw.images[Modality.T1].name == "sub-01_T1w.nii.gz"
    assert processed.images[Modality.T1].name == "sub-01_desc-brain_T1w.nii.gz"


@pytest.mark.parametrize("second", ["run-02_T1w", "acq-mprage_T1w"])
def test_two_files_of_one_modality_are_reported_with_the_remedy(tmp_path: Path, second: str) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_run-01_T1w.nii.gz", f"sub-01/anat/sub-01_{second}.nii.gz")
    touch(tmp_path, "sub-02/anat/sub-02_T1w.nii.gz")
    found = look_for_cases(tmp_path)
    assert [case.case_id for case in found.cases] == ["sub-02"]
    (problem,) = found.problems
    assert problem.case_id == "sub-01"
    assert "t1 of this case is there twice, also as sub-01/anat/sub-01_" in problem.text
    assert "keep one of them, or name the one to use in a cohort.csv" in problem.remedy
    with pytest.raises(CohortError, match="case sub-01: "):
        find_cases(tmp_path)


def test_two_segmentations_are_reported(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_dseg.nii.gz")
    touch(tmp_path, "derivatives/x/sub-01/anat/sub-01_dseg.nii.gz")
    with pytest.raises(CohortError, match="seg of this case is there twice"):
        find_cases(tmp_path)


def test_the_same_subject_in_two_data_sets_is_a_collision(tmp_path: Path) -> None:
    for dataset in ("a", "b"):
        touch(tmp_path, f"{dataset}/sub-01/anat/sub-01_T1w.nii.gz")
    with pytest.raises(CohortError, match="duplicate case name"):
        find_cases(tmp_path)


@pytest.mark.parametrize("folder", ["sub-01", "sub-01/anat"])
def test_a_part_of_a_data_set_is_a_cohort_too(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_dseg.nii.gz")
    (case,) = find_cases(tmp_path / folder)
    assert case.case_id == "sub-01"
    assert case.segmentation is not None


@pytest.mark.parametrize("name", ["sub-01_T2star.nii.gz", "01_T1w.nii.gz", "sub-01_T1w.json", "sub-01_mask.nii.gz"])
def test_other_names_say_nothing(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"sub-01/anat/{name}")
    with pytest.raises(CohortError, match="holds no case"):
        find_cases(tmp_path)


def test_the_session_of_a_folder_counts_where_the_names_tell_none(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/ses-01/anat/sub-01_T1w.nii.gz", "sub-01/ses-02/anat/sub-01_FLAIR.nii.gz")
    assert [(case.case_id, case.patient_id, case.visit, list(case.images)) for case in find_cases(tmp_path)] == [
        ("sub-01_ses-01", "sub-01", "ses-01", [Modality.T1]),
        ("sub-01_ses-02", "sub-01", "ses-02", [Modality.FLAIR]),
    ]


@pytest.mark.parametrize(
    ("entities", "modality"),
    [
        ("ce-none_T1w", Modality.T1),
        ("ce-pre_T1w", Modality.T1),
        ("ce-no_run-1_T1w", Modality.T1),
        ("acq-nativ_T1w", Modality.T1),
        ("acq-postop_T1w", Modality.T1),
        ("ce-post_T1w", Modality.T1CE),
        ("acq-postgd_T1w", Modality.T1CE),
        ("acq-mprageGd_T1w", Modality.T1CE),
        ("acq-postcontrast_run-2_T1w", Modality.T1CE),
        ("acq-flair_T2w", Modality.FLAIR),
        ("acq-darkfluid_T2w", Modality.FLAIR),
        ("acq-spc_space-T1w_T2w", Modality.T2),
    ],
)
def test_entities_count_as_people_write_them(tmp_path: Path, entities: str, modality: Modality) -> None:
    touch(tmp_path, f"sub-T101/anat/sub-T101_{entities}.nii.gz")
    (case,) = find_cases(tmp_path)
    assert list(case.images) == [modality]


@pytest.mark.parametrize(
    ("entities", "reason"),
    [
        ("acq-flair_T1w", "can be flair or t1"),
        ("ce-unknown_T1w", "can be t1 or t1ce"),
        ("acq-prepostgd_T1w", "can be t1 or t1ce"),
        ("acq-tirm_T2w", "can be flair or t2 or other"),
        ("echo-1_T2w", "can be t2 or other"),
    ],
)
def test_ambiguous_entities_are_an_error_with_the_reason(tmp_path: Path, entities: str, reason: str) -> None:
    touch(tmp_path, f"sub-01/anat/sub-01_{entities}.nii.gz", "sub-01/anat/sub-01_FLAIR.nii.gz")
    with pytest.raises(CohortError, match=reason) as error:
        find_cases(tmp_path)
    assert "say in a cohort.csv what it is" in error.value.problems[0].remedy


@pytest.mark.parametrize("entities", ["acq-subtraction_T1w", "part-phase_T2w", "acq-cspine_T2w", "acq-t2star_T2w"])
def test_what_is_no_weighting_of_a_brain_is_passed_over(tmp_path: Path, entities: str) -> None:
    touch(tmp_path, f"sub-01/anat/sub-01_{entities}.nii.gz", "sub-01/anat/sub-01_FLAIR.nii.gz")
    assert list(find_cases(tmp_path)[0].images) == [Modality.FLAIR]
