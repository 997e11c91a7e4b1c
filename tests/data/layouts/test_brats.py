"""BraTS names tell case, patient and modality."""

from __future__ import annotations

from pathlib import Path

import pytest

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
