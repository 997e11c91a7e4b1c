"""All images of a case are read and checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.case_input import read_case
from utad_monai.apps.prepare.geometry import array_of, image_of
from utad_monai.apps.prepare.raw_cases import RawCase
from utad_monai.apps.prepare.raw_images import RawFormat, RawSource
from utad_monai.data.quality.finding import CohortError
from utad_monai.data.sequences import RawRole
from utad_monai.keys import Modality

AFFINE = np.diag([-2.0, -2, 2, 1])


def case_of(folder: Path, voxels: Mapping[RawRole, Any], affines: Mapping[RawRole, Any] | None = None) -> RawCase:
    sources = {}
    for role, array in voxels.items():
        path = folder / f"{role}.nii.gz"
        sitk.WriteImage(image_of(array, (affines or {}).get(role, AFFINE)), str(path))
        sources[role] = RawSource(path, RawFormat.NIFTI)
    return RawCase("c", folder, sources=sources, unknown=("x.nrrd",))


def image(seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(1, 100, (8, 9, 10)).astype(np.float32)


def labels(*values: int) -> Any:
    array = np.zeros((8, 9, 10), np.uint8)
    for at, value in enumerate(values):
        array[at] = value
    return array


def test_images_labels_and_mask_are_read(tmp_path: Path) -> None:
    voxels = {
        RawRole.T1: image(1),
        RawRole.T1CE: image(2),
        RawRole.SEGMENTATION: labels(1, 2, 4),
        RawRole.BRAIN_MASK: labels(1, 1, 7),
    }
    case = read_case(case_of(tmp_path, voxels))
    assert case.reference is Modality.T1CE
    assert list(case.images) == [Modality.T1, Modality.T1CE]
    assert case.segmentation is not None
    assert case.brain_mask is not None
    assert case.segmentation[0] is Modality.T1CE, "the reference, when it lies on the same grid"
    np.testing.assert_array_equal(np.unique(array_of(case.segmentation[1])), [0, 1, 2, 4])
    np.testing.assert_array_equal(np.unique(array_of(case.brain_mask[1])), [0, 1])
    assert "1 images were not recognised" in case.warnings[-1].text


def test_labels_belong_to_the_image_whose_grid_they_share(tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[0, 3] = 5
    voxels = {RawRole.FLAIR: image(1), RawRole.T1CE: image(2), RawRole.SEGMENTATION: labels(1)}
    case = read_case(case_of(tmp_path, voxels, {RawRole.FLAIR: moved, RawRole.SEGMENTATION: moved}))
    assert case.segmentation is not None
    assert case.segmentation[0] is Modality.FLAIR


def test_labels_on_no_grid_of_the_case_are_refused(tmp_path: Path) -> None:
    voxels = {RawRole.FLAIR: image(1), RawRole.SEGMENTATION: labels(1)}
    with pytest.raises(CohortError, match="lies on the grid of no image"):
        read_case(case_of(tmp_path, voxels, {RawRole.SEGMENTATION: np.diag([-1.0, -1, 1, 1])}))


def test_the_late_label_of_enhancing_tumour_is_rewritten_with_a_warning(tmp_path: Path) -> None:
    case = read_case(case_of(tmp_path, {RawRole.FLAIR: image(), RawRole.SEGMENTATION: labels(1, 2, 3)}))
    assert case.segmentation is not None
    np.testing.assert_array_equal(np.unique(array_of(case.segmentation[1])), [0, 1, 2, 4])
    assert any("label 3 is written as 4" in warning.text for warning in case.warnings)


@pytest.mark.parametrize("values", [(1, 2, 3, 4), (1, 7)])
def test_labels_without_a_meaning_are_refused(tmp_path: Path, values: tuple[int, ...]) -> None:
    with pytest.raises(CohortError, match="has labels 0, 1"):
        read_case(case_of(tmp_path, {RawRole.FLAIR: image(), RawRole.SEGMENTATION: labels(*values)}))


def test_an_empty_segmentation_is_fine_and_an_empty_image_is_not(tmp_path: Path) -> None:
    assert read_case(case_of(tmp_path, {RawRole.FLAIR: image(), RawRole.SEGMENTATION: labels()})).segmentation
    with pytest.raises(CohortError, match="is constant"):
        read_case(case_of(tmp_path, {RawRole.FLAIR: image(), RawRole.T1: image() * 0}))


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    case = case_of(tmp_path, {RawRole.FLAIR: image(), RawRole.T1: image(), RawRole.T2: image()})
    for role in (RawRole.FLAIR, RawRole.T2):
        case.sources[role].path.write_bytes(b"damaged")
    with pytest.raises(CohortError) as refusal:
        read_case(case)
    assert [problem.file.name for problem in refusal.value.problems] == ["flair.nii.gz", "t2.nii.gz"]


def test_the_asked_reference_must_be_there(tmp_path: Path) -> None:
    case = case_of(tmp_path, {RawRole.FLAIR: image(), RawRole.T1: image(3)})
    assert read_case(case, Modality.FLAIR).reference is Modality.FLAIR
    assert read_case(case).reference is Modality.T1
    with pytest.raises(CohortError, match="has no t2, which was asked for"):
        read_case(case, Modality.T2)


def test_masks_beside_unreadable_images_have_no_problem_of_their_own(tmp_path: Path) -> None:
    case = case_of(tmp_path, {RawRole.T1: image(), RawRole.BRAIN_MASK: labels(1)})
    case.sources[RawRole.T1].path.write_bytes(b"damaged")
    with pytest.raises(CohortError) as refusal:
        read_case(case)
    assert len(refusal.value.problems) == 1
