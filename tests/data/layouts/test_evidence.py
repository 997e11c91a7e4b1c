"""A sidecar completes what a BIDS name leaves open, and contradicts what another name says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from utad_monai.data import CohortError, find_cases
from utad_monai.keys import Modality
from utad_monai.runtime.files import write_json

AGENT = {"ContrastBolusIngredient": "GADOLINIUM"}
T2_TIMES = {"ScanningSequence": "SE", "EchoTime": 0.1, "RepetitionTime": 5.0}


def image(path: Path, sidecar: dict[str, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    if sidecar is not None:
        write_json(path.with_name(path.name.replace(".nii.gz", ".json")), sidecar)
    return path


def test_an_agent_in_the_sidecar_makes_a_silent_t1_a_t1ce(tmp_path: Path) -> None:
    image(tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz", AGENT)
    image(tmp_path / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz", AGENT)
    assert list(find_cases(tmp_path)[0].images) == [Modality.FLAIR, Modality.T1CE]


def test_a_sidecar_of_all_images_of_a_kind_counts_too(tmp_path: Path) -> None:
    image(tmp_path / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_acq-b_T1w.nii.gz")
    write_json(tmp_path / "acq-b_T1w.json", AGENT)
    assert list(find_cases(tmp_path)[0].images) == [Modality.T1CE]


@pytest.mark.parametrize(
    ("name", "sidecar", "reason"),
    [
        ("sub-01/anat/sub-01_ce-none_T1w", AGENT, "contrast agent GADOLINIUM says t1ce"),
        ("sub-01/anat/sub-01_T1w", T2_TIMES, "says t1, SE, TE 100 ms, TR 5000 ms says t2 or other"),
        ("sub-01/anat/sub-01_T2w", {"ImageType": ["DERIVED", "SECONDARY", "ADC"]}, "image type ADC"),
        ("C1/C1_t1", AGENT, "the name says t1, contrast agent GADOLINIUM says t1ce"),
        ("C1/C1_flair", T2_TIMES, "the name says flair, SE, TE 100 ms, TR 5000 ms says t2 or other"),
        ("C-1/C-1-t1n", AGENT, "the name says t1, contrast agent GADOLINIUM says t1ce"),
    ],
)
def test_a_contradiction_refuses_the_case_and_shows_both(
    tmp_path: Path, name: str, sidecar: dict[str, Any], reason: str
) -> None:
    image(tmp_path / f"{name}.nii.gz", sidecar)
    with pytest.raises(CohortError, match=reason):
        find_cases(tmp_path)


def test_sidecars_that_agree_change_nothing(tmp_path: Path) -> None:
    for name, sidecar in (("t1ce", AGENT), ("t2", T2_TIMES), ("t1", {}), ("flair", AGENT)):
        image(tmp_path / "C1" / f"C1_{name}.nii.gz", sidecar)
    assert list(find_cases(tmp_path)[0].images) == list(Modality)


def test_a_sidecar_outside_the_cohort_is_not_read(tmp_path: Path) -> None:
    write_json(tmp_path / "outside.json", AGENT)
    (image(tmp_path / "in" / "C1" / "C1_t1.nii.gz").with_name("C1_t1.json")).symlink_to(tmp_path / "outside.json")
    assert list(find_cases(tmp_path / "in")[0].images) == [Modality.T1]


def test_a_synthetic_image_is_what_its_own_sidecar_says(tmp_path: Path) -> None:
    made = {"ImageType": ["DERIVED", "SYNTHETIC"], "Synthetic": True, "Modality": "t1"}
    image(tmp_path / "C1" / "C1_t1.nii.gz", made)
    assert list(find_cases(tmp_path)[0].images) == [Modality.T1]
    image(tmp_path / "C1" / "C1_t2.nii.gz", made)
    with pytest.raises(CohortError, match="the name says t2, the synthetic image's sidecar t1"):
        find_cases(tmp_path)
