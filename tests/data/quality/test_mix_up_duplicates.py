"""Copies are found by their voxels, whatever file they are in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor

from utad_monai.data import BRATS_2023, Case
from utad_monai.data.quality.finding import FindingKind
from utad_monai.data.quality.mix_up import (
    cases_with_equal_voxels,
    duplicates_across,
    duplicates_within,
    voxel_digest,
    voxel_digests,
)
from utad_monai.keys import Modality

Digested = tuple[Case, dict[Modality, str]]
IMAGE = torch.arange(24.0).reshape(1, 2, 3, 4)


def digested(case_id: str, patient_id: str = "", **digests: str) -> Digested:
    images = {Modality(name): Path(f"{case_id}-{name}.nii") for name in digests}
    case = Case(case_id, patient_id or case_id, images=images, segmentation=None, layout=BRATS_2023)
    return case, {Modality(name): digest for name, digest in digests.items()}


def test_a_digest_depends_on_voxels_and_shape_alone() -> None:
    assert voxel_digest(IMAGE) == voxel_digest(IMAGE.clone())
    assert voxel_digest(IMAGE) == voxel_digest(IMAGE.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1))
    assert voxel_digest(IMAGE) != voxel_digest(IMAGE.reshape(1, 4, 3, 2))
    assert voxel_digest(IMAGE) != voxel_digest(IMAGE + (IMAGE == 5))


def test_different_images_are_no_duplicates() -> None:
    assert list(duplicates_across([digested("a", t1="1", t2="2"), digested("b", t1="3", t2="4")])) == []


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (digested("b", "p", t2="1"), "t2 holds the same voxels as t1 of case a: a duplicate"),
        (digested("b", "q", t1="1"), "t1 of case a, another patient"),
    ],
)
def test_a_copy_names_the_original(second: Digested, text: str) -> None:
    first = digested("a", "p", t1="1")
    (finding,) = duplicates_across([first, second])
    assert finding.kind is FindingKind.DUPLICATE
    assert finding.case_id == second[0].case_id
    assert finding.file in second[0].images.values()
    assert any(part in finding.text for part in text.split("|"))


def test_copies_of_many_cases_are_named_and_those_within_a_case_are_left_to_the_case() -> None:
    found = list(duplicates_across([digested("a", t1="1", t1ce="1"), digested("b", t1="1"), digested("c", t1="2")]))
    assert [(finding.case_id, str(finding.file)) for finding in found] == [("b", "b-t1.nii")]


def test_a_copy_within_a_case_names_the_first_image_and_constant_images_are_none() -> None:
    case, _ = digested("a", t1="", t1ce="", t2="")
    t1, t1ce, t2 = (Modality(name) for name in ("t1", "t1ce", "t2"))
    image = MetaTensor(IMAGE)
    (finding,) = duplicates_within(case, {t1: image, t1ce: MetaTensor(IMAGE + 1), t2: image.clone()})
    assert (finding.kind, finding.file) == (FindingKind.DUPLICATE, case.images[t2])
    assert finding.text == "t2 holds the same voxels as t1 of this case: a duplicate"
    assert not list(duplicates_within(case, {t1: MetaTensor(IMAGE * 0), t2: MetaTensor(IMAGE * 0)}))


def test_cases_with_equal_voxels_are_grouped() -> None:
    cases = [
        digested("a", t1="1", t1ce="1"),
        digested("b", t2="1"),
        digested("c", t1="2", t2="3"),
        digested("d", t1="3"),
    ]
    assert cases_with_equal_voxels(cases) == [["a", "b"], ["c", "d"]]
    assert cases_with_equal_voxels(cases[:1]) == []


def test_constant_images_have_no_digest() -> None:
    images = {Modality("t1"): MetaTensor(IMAGE), Modality("t2"): MetaTensor(IMAGE * 0)}
    assert voxel_digests(images) == {Modality("t1"): voxel_digest(IMAGE)}
