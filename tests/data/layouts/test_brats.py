"""BraTS names tell case, patient and modality."""

from __future__ import annotations

from pathlib import Path

import pytest

from utad_monai.data import BRATS_2017_TO_2021, BRATS_2023
from utad_monai.data.layouts.brats import brats_claims
from utad_monai.keys import Modality


@pytest.mark.parametrize(
    ("name", "case_id", "part"),
    [
        ("A_1_flair.nii.gz", "A_1", Modality.FLAIR),
        ("A_1_t1ce.nii", "A_1", Modality.T1CE),
        ("A-1-t1c.nii.gz", "A-1", Modality.T1CE),
        ("A-1-t1n.nii.gz", "A-1", Modality.T1),
        ("A_1_seg.nii.gz", "A_1", "seg"),
        ("A-1-seg.nii.gz", "A-1", "seg"),
    ],
)
def test_ending_tells_the_part(name: str, case_id: str, part: str) -> None:
    (claim,) = brats_claims(Path("cohort") / name, Path("cohort"))
    assert (claim.case_id, claim.part, claim.dataset) == (case_id, part, Path("cohort"))


@pytest.mark.parametrize("name", ["t1.nii.gz", "_t1.nii.gz", "A_adc.nii.gz", "A_T1.nii.gz", "A-t1ce.nii.gz"])
def test_other_names_say_nothing(name: str) -> None:
    assert list(brats_claims(Path(name), Path())) == []


@pytest.mark.parametrize(
    ("case_id", "patient_id"),
    [
        ("Brats18_2013_2_1", "Brats18_2013_2"),
        ("Brats17_TCIA_101_2", "Brats17_TCIA_101"),
        ("Brats18_CBICA_AAB_1", "Brats18_CBICA_AAB"),
        ("BraTS20_Training_001", "BraTS20_Training_001"),
        ("BraTS2021_00002", "BraTS2021_00002"),
        ("tumour_7", "tumour_7"),
    ],
)
def test_patient_of_a_case_until_2021(case_id: str, patient_id: str) -> None:
    assert BRATS_2017_TO_2021.patient_of(case_id) == patient_id


@pytest.mark.parametrize(
    ("case_id", "patient_id"),
    [
        ("BraTS-GLI-00005-000", "BraTS-GLI-00005"),
        ("BraTS-GLI-00005-100", "BraTS-GLI-00005"),
        ("BraTS-MEN-RT-0001-1", "BraTS-MEN-RT-0001-1"),
        ("anything-else", "anything-else"),
    ],
)
def test_patient_of_a_case_since_2023(case_id: str, patient_id: str) -> None:
    assert BRATS_2023.patient_of(case_id) == patient_id
