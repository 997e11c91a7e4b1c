"""A real image that no layout takes is named, and what it may be is known; what is something else stops nothing."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
import pytest

from utad_monai.data import FoundCohort, look_for_cases
from utad_monai.data.layouts.unclaimed import unclaimed_reason
from utad_monai.data.quality.finding import FindingKind
from utad_monai.keys import Modality

FLAIR, T1, T1CE, T2 = Modality
WITHOUT_T1CE = ("P001_flair.nii.gz", "P001_t1.nii.gz", "P001_t2.nii.gz", "P001_seg.nii.gz")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found_with(root: Path, *names: str, case: tuple[str, ...] = WITHOUT_T1CE, folder: str = "P001/") -> FoundCohort:
    touch(root, *(folder + name for name in case), *names)
    return look_for_cases(root)


def unclaimed(found: FoundCohort, number: int = 0) -> Mapping[str, tuple[Modality, ...]]:
    return {image.path.name: image.modalities for image in found.cases[number].unclaimed}


OTHER_SUFFIXES = ["t1c.nii.gz", "T1GD.nii.gz", "t1gd.nii", "T1CE.nii.gz", "t1_post.nii.gz", "T1_KM.nii.gz"]
OTHER_ENDINGS = ["t1ce.NII.GZ", "t1ce.Nii", "t1ce.nii.bz2", "t1ce.nrrd", "t1ce.mha", "T1ce.mgz", "t1ce.img"]


@pytest.mark.parametrize("name", [*OTHER_SUFFIXES, *OTHER_ENDINGS])
def test_other_suffix_or_ending_is_named_with_what_it_may_be(tmp_path: Path, name: str) -> None:
    found = found_with(tmp_path, f"P001/P001_{name}")
    assert unclaimed(found) == {f"P001_{name}": (T1CE,)}
    (warning,) = found.warnings
    assert (warning.kind, warning.case_id) == (FindingKind.UNCLAIMED, "P001")
    assert warning.file == tmp_path / "P001" / f"P001_{name}"
    assert "give it the name P001_t1ce.nii.gz" in warning.message


@pytest.mark.parametrize(
    ("name", "missing"), [("t1n", T1), ("T2w", T2), ("FLAIR", FLAIR), ("t2f", FLAIR), ("T2_FLAIR", FLAIR)]
)
def test_each_modality_is_told_by_its_name(tmp_path: Path, name: str, missing: Modality) -> None:
    case = tuple(f"P001_{m}.nii.gz" for m in Modality if m is not missing)
    assert unclaimed(found_with(tmp_path, f"P001/P001_{name}.nii.gz", case=case)) == {f"P001_{name}.nii.gz": (missing,)}


@pytest.mark.parametrize(
    "name", ["P001/scan-7_T1CE.nii.gz", "P001/T1ce.nii.gz", "P001/extra/t1ce.nii", "P001/T1CE/image.nii.gz"]
)
def test_whatever_the_prefix_the_folder_of_a_case_is_its_own(tmp_path: Path, name: str) -> None:
    assert unclaimed(found_with(tmp_path, name)) == {Path(name).name: (T1CE,)}


@pytest.mark.parametrize(
    "name",
    [
        "more/P001_T1GD.nii.gz",
        "T1CE/P001.nii.gz",
        "raw/P001/t1gd.nii.gz",
        "DICOM/P001/T1_KM/scan.nrrd",
        "P001-T1Gd.nii",
    ],
)
def test_name_of_a_case_is_known_elsewhere_in_the_cohort(tmp_path: Path, name: str) -> None:
    found = found_with(tmp_path, name, "P002/P002_t1.nii.gz")
    assert unclaimed(found) == {Path(name).name: (T1CE,)}
    assert unclaimed(found, 1) == {}


def test_longest_name_owns_a_file_of_a_flat_folder(tmp_path: Path) -> None:
    found = found_with(tmp_path, "P1_t1.nii.gz", "P1_2_t1.nii.gz", "P10_t1.nii.gz", "P1_2_T2w.nii.gz", case=())
    assert [(case.case_id, len(case.unclaimed)) for case in found.cases] == [("P1", 0), ("P10", 0), ("P1_2", 1)]


def test_name_that_says_nothing_may_be_whatever_is_missing(tmp_path: Path) -> None:
    found = found_with(tmp_path, "P001/P001_3.nii.gz", case=("P001_t1.nii.gz", "P001_flair.nii.gz"))
    assert unclaimed(found) == {"P001_3.nii.gz": (T1CE, T2)}
    assert "may be the t1ce or t2" in found.warnings[0].text


@pytest.mark.parametrize("above", ["CT study/", "T2/", "masks_T1/"])
def test_folders_above_a_case_say_nothing_of_its_images(tmp_path: Path, above: str) -> None:
    names = [f"{above}case {n}/{n}_{part}.nii.gz" for n in ("a", "b") for part in ("t1", "flair")]
    found = found_with(tmp_path, *names, f"{above}case a/scan.nii.gz", case=())
    assert unclaimed(found) == {"scan.nii.gz": (T1CE, T2)}


def test_header_and_voxels_are_one_image(tmp_path: Path) -> None:
    assert len(found_with(tmp_path, "P001/P001_t1ce.hdr", "P001/P001_t1ce.img").cases[0].unclaimed) == 1


def dicom(path: Path, description: bytes = b"", preamble: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    element = b"\x08\x00\x3e\x10LO" + len(description).to_bytes(2, "little") + description
    start = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"
    path.write_bytes((bytes(128) + b"DICM" if preamble else b"") + start + (element if description else b""))


@pytest.mark.parametrize(
    ("name", "preamble"), [("a.dcm", True), ("IM0001", True), ("IM0001", False), ("1.2.840.5", True), ("x.IMA", False)]
)
def test_dicom_folder_in_a_case_is_one_image(tmp_path: Path, name: str, preamble: bool) -> None:
    for number in range(3):
        dicom(tmp_path / "P001" / "DICOM" / "301" / f"{number}{name}", preamble=preamble)
    assert unclaimed(found_with(tmp_path)) == {"301": (T1CE,)}


def test_dicom_file_in_the_folder_of_a_case_is_named_itself(tmp_path: Path) -> None:
    dicom(tmp_path / "P001" / "t1ce.dcm")
    assert unclaimed(found_with(tmp_path)) == {"t1ce.dcm": (T1CE,)}


def test_description_says_what_a_dicom_series_is(tmp_path: Path) -> None:
    dicom(tmp_path / "P001" / "DICOM" / "301" / "IM1", b"AX T1 POST GD ")
    dicom(tmp_path / "P001" / "DICOM" / "302" / "IM1", b"AX DWI")
    case = ("P001_flair.nii.gz", "P001_t1.nii.gz")
    assert unclaimed(found_with(tmp_path, case=case)) == {"301": (T1CE,)}


SOMETHING_ELSE = [
    *("brain_mask", "mask", "ADC", "DWI", "DTI_eddy_FA", "SWI", "ASL", "T2star", "tumor_segmentation", "t1_seg", "GTV"),
    *("t1_bias_field", "t1ce_probability", "warp", "pve_0", "aparc", "t1map", "perfusion", "bold", "CT", "T1CE_mask"),
]


@pytest.mark.parametrize("name", SOMETHING_ELSE)
def test_something_else_is_no_alarm(tmp_path: Path, name: str) -> None:
    found = found_with(tmp_path, f"P001/P001_{name}.nii.gz")
    assert found.warnings == ()
    assert found.cases[0].unclaimed == ()


@pytest.mark.parametrize(
    "name", ["notes.txt", "t1ce.png", "T1CE.json", "t1ce.bval", "README", ".t1c.nii.gz", "._t1c.nii.gz"]
)
def test_other_files_are_no_images(tmp_path: Path, name: str) -> None:
    assert found_with(tmp_path, f"P001/{name}").warnings == ()


def test_what_this_project_wrote_is_no_alarm(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4))
    for text, name in (
        ("SYNTHETIC t1ce from t1", "t1ce_synthetic"),
        ("SYNTHETIC uncertainty of t1ce", "t1ce_uncertain"),
    ):
        image.header["descrip"] = text.encode()
        path = tmp_path / "out" / "synthetic" / "P001" / f"P001_{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(image.to_bytes()))
    assert found_with(tmp_path).warnings == ()
    image.header["descrip"] = b"acquired"
    path.write_bytes(gzip.compress(image.to_bytes()))
    assert len(found_with(tmp_path).warnings) == 1


def test_real_image_beside_a_synthetic_one_is_named(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4))
    image.header["descrip"] = b"SYNTHETIC t1ce from t1"
    found_with(tmp_path, "P001/P001_T1GD.nii.gz", "P001/P001_T2_raw.nii.gz")
    (tmp_path / "P001" / "P001_t1ce.nii.gz").write_bytes(gzip.compress(image.to_bytes()))
    found = look_for_cases(tmp_path)
    assert unclaimed(found) == {"P001_T1GD.nii.gz": (T1CE,)}
    assert "has only as a synthetic image" in found.warnings[0].text


def test_variants_of_what_is_there_are_one_line(tmp_path: Path) -> None:
    names = [f"P001/P001_{name}.nii.gz" for name in ("T1_bias", "T2_raw", "flair_old", "T1_n4", "t2_brain", "T1w")]
    found = found_with(tmp_path, *names)
    assert found.cases[0].unclaimed == ()
    (warning,) = found.warnings
    assert warning.case_id == ""
    assert "6 images are not used" in warning.text
    assert warning.text.endswith(", ...")


def test_images_of_no_case_are_one_line(tmp_path: Path) -> None:
    (warning,) = found_with(tmp_path, "P002/P002_T1GD.nii.gz", "P003/x_FLAIR.nrrd", "P004/atlas.nii.gz").warnings
    assert "2 images are not used: they belong to no case" in warning.text


def test_segmentation_under_another_name_is_told_where_there_is_none(tmp_path: Path) -> None:
    (warning,) = found_with(tmp_path, "P001/P001_tumor_segmentation.nii.gz", case=WITHOUT_T1CE[:3]).warnings
    assert "may be segmentations" in warning.text


def test_ucsf_pdgm_is_no_alarm(tmp_path: Path) -> None:
    name = "UCSF-PDGM-0004"
    others = ["ADC", "ASL", "DTI_eddy_FA", "DTI_eddy_L1", "DTI_eddy_noreg", "DWI", "DWI_bias", "SWI", "SWI_bias"]
    others += ["brain_segmentation", "brain_parenchyma_segmentation", "T1_bias", "T1c_bias", "T2_bias", "FLAIR_bias"]
    case = [f"{name}_{m}.nii.gz" for m in ("FLAIR", "T1", "T1c", "T2", "tumor_segmentation", *others)]
    found = found_with(tmp_path, case=tuple(case), folder=f"{name}_nifti/")
    assert [(warning.case_id, warning.text[:20]) for warning in found.warnings] == [("", "4 images are not use")]


def test_bids_suffixes_and_folders_are_no_alarm(tmp_path: Path) -> None:
    names = ["anat/sub-1_T2starw", "anat/sub-1_PDw", "anat/sub-1_angio", "dwi/sub-1_dwi", "func/sub-1_task-rest_bold"]
    names += ["fmap/sub-1_phasediff", "perf/sub-1_asl", "func/sub-1_task-rest_sbref", "anat/sub-1_desc-brain_mask"]
    touch(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", *(f"sub-1/{name}.nii.gz" for name in names))
    touch(
        tmp_path, "derivatives/x/sub-1/anat/sub-1_desc-preproc_T1w.nii.gz", "derivatives/x/sub-1/anat/sub-1_what.nii.gz"
    )
    assert look_for_cases(tmp_path).warnings == ()
    touch(tmp_path, "derivatives/x/sub-1/anat/sub-1_desc-preproc_T2w.nii.gz", "sub-1/anat/sub-1_FLAIR.nrrd")
    assert [(i.path.name[:5], i.modalities) for i in look_for_cases(tmp_path).cases[0].unclaimed] == [
        ("sub-1", (T2,)),
        ("sub-1", (FLAIR,)),
    ]


def test_decathlon_is_no_alarm(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTs/b.nii.gz", "imagesTr/c.nii.gz")
    assert look_for_cases(tmp_path).warnings == ()


@pytest.mark.parametrize("stray", ["Q7_t1ce.nii.gz", "ID_9_t1ce.nii", "P001-new_t1ce.nii.gz"])
def test_image_of_another_name_in_the_folder_of_a_case_stops_both(tmp_path: Path, stray: str) -> None:
    found = found_with(tmp_path, f"P001/{stray}")
    one, other = sorted(found.cases, key=lambda case: -len(case.images))
    assert [(image.modalities, image.taken_for) for image in one.unclaimed] == [((T1CE,), other.case_id)]
    assert {image.modalities for image in other.unclaimed} == {(FLAIR,), (T1,), (T2,)}


def test_two_visits_in_one_folder_are_two_cases(tmp_path: Path) -> None:
    found = found_with(tmp_path, "P001/P001_2_t1.nii.gz", "P001/P001_2_t1ce.nii.gz", "P001/P001_2_t2.nii.gz")
    assert all(case.unclaimed == () for case in found.cases)


def test_table_decides_but_a_name_that_says_what_is_missing_counts(tmp_path: Path) -> None:
    touch(tmp_path, "p1/a.nii.gz", "p1/b.nii.gz", "p1/T2.nii.gz", "p1/scan.nii.gz", "p1/t1_old.nii.gz")
    (tmp_path / "cohort.csv").write_text("case,flair,t1\np1,p1/a.nii.gz,p1/b.nii.gz\n")
    found = look_for_cases(tmp_path)
    assert unclaimed(found) == {"T2.nii.gz": (T2,)}
    assert len(found.warnings) == 1


def test_reason_names_case_file_and_what_to_do(tmp_path: Path) -> None:
    (case,) = found_with(tmp_path, "P001/P001_T1GD.nii.gz").cases
    reason = unclaimed_reason(case, T1CE)
    assert "\n" not in reason
    assert all(word in reason for word in ("case P001", "P001_T1GD.nii.gz", "P001_t1ce.nii.gz", "--ignore-unclaimed"))
    assert unclaimed_reason(case, T2) == ""


def test_complete_cohort_has_no_warning(tmp_path: Path) -> None:
    assert found_with(tmp_path, "P001/P001_t1ce.nii.gz").warnings == ()
