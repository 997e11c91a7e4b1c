"""UCSF-PDGM cohorts are read by their file names, the bias-corrected image first."""

from __future__ import annotations

from pathlib import Path

import pytest

from utad_monai.data import find_cases
from utad_monai.data.layouts.ucsf_pdgm import UCSF_PDGM, ucsf_pdgm_claims
from utad_monai.keys import Modality, TumourLabel


def touch(root: Path, case: str, *endings: str) -> None:
    (root / f"{case}_nifti").mkdir(parents=True, exist_ok=True)
    for ending in endings:
        (root / f"{case}_nifti" / f"{case}_{ending}.nii.gz").touch()


def test_images_and_segmentation_of_a_case_are_told_apart_from_its_other_files(tmp_path: Path) -> None:
    others = ["SWI", "DWI", "ADC", "ASL", "T2_unwarped", "brain_segmentation", "brain_parenchyma_segmentation"]
    touch(tmp_path, "UCSF-PDGM-0004", "FLAIR", "T1", "T1c", "T2", "tumor_segmentation", *others)
    (case,) = find_cases(tmp_path)
    assert (case.case_id, case.patient_id, case.layout) == ("UCSF-PDGM-0004", "UCSF-PDGM-0004", UCSF_PDGM)
    assert {modality: path.name for modality, path in case.images.items()} == {
        Modality.FLAIR: "UCSF-PDGM-0004_FLAIR.nii.gz",
        Modality.T1: "UCSF-PDGM-0004_T1.nii.gz",
        Modality.T1CE: "UCSF-PDGM-0004_T1c.nii.gz",
        Modality.T2: "UCSF-PDGM-0004_T2.nii.gz",
    }
    assert case.segmentation is not None
    assert case.segmentation.name == "UCSF-PDGM-0004_tumor_segmentation.nii.gz"


def test_image_without_bias_field_is_taken_where_there_are_both(tmp_path: Path) -> None:
    touch(tmp_path, "UCSF-PDGM-0004", "T1", "T1_bias", "T2", "FLAIR_bias")
    (case,) = find_cases(tmp_path)
    assert [path.name.split("_", 1)[1] for path in case.images.values()] == [
        "FLAIR_bias.nii.gz",
        "T1_bias.nii.gz",
        "T2.nii.gz",
    ]


def test_follow_up_is_another_case_of_the_same_patient(tmp_path: Path) -> None:
    for case in ("UCSF-PDGM-0431", "UCSF-PDGM-0431_FU001d"):
        touch(tmp_path, case, "T1")
    cases = find_cases(tmp_path)
    assert [(case.case_id, case.patient_id) for case in cases] == [
        ("UCSF-PDGM-0431", "UCSF-PDGM-0431"),
        ("UCSF-PDGM-0431_FU001d", "UCSF-PDGM-0431"),
    ]


@pytest.mark.parametrize("name", ["UCSF-PDGM-0004_ADC.nii.gz", "UCSF-PDGM_T1.nii.gz", "X_UCSF-PDGM-0004_T1.nii.gz"])
def test_other_names_say_nothing(name: str) -> None:
    assert list(ucsf_pdgm_claims(Path(name), Path())) == []


def test_labels_are_those_of_brats_until_2021() -> None:
    assert UCSF_PDGM.labels[4] is TumourLabel.ENHANCING
