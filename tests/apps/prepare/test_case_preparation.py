"""A case is prepared: aligned, masked, with the brain above 0 and all else exactly 0."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare import case_preparation
from utad_monai.apps.prepare.case_input import CaseInput
from utad_monai.apps.prepare.case_preparation import prepare_case
from utad_monai.apps.prepare.geometry import BRATS_GRID, Grid, array_of, compose, image_of, inverse
from utad_monai.apps.prepare.settings import BrainMaskMethod, GridKind, PreparationSettings, RefusedCaseError
from utad_monai.keys import Modality

ON_REFERENCE = PreparationSettings(grid=GridKind.REFERENCE)


@pytest.fixture(scope="module")
def case(raw_head: Any) -> CaseInput:
    """Give T1ce and T2 of a head that moved between them, with labels on the T2."""
    labels = np.zeros(raw_head.images[Modality.T2].GetSize(), np.uint8)
    labels[30:36, 30:36, 26:32] = 4
    segmentation = image_of(labels, Grid.of(raw_head.images[Modality.T2]).matrix)
    images = {modality: raw_head.images[modality] for modality in (Modality.T1CE, Modality.T2)}
    return CaseInput(images, Modality.T1CE, segmentation=(Modality.T2, segmentation), brain_mask=None, warnings=())


@pytest.fixture(scope="module")
def prepared(case: CaseInput) -> Any:
    """Give the case prepared on the reference's grid with a rough mask."""
    return prepare_case(case, replace(ON_REFERENCE, brain_mask=BrainMaskMethod.OTSU))


def test_images_are_aligned(prepared: Any, raw_head: Any) -> None:
    found = compose(prepared.matrices[Modality.T2], inverse(prepared.matrices[Modality.T1CE]))
    assert raw_head.error_mm(found, Modality.T1CE, Modality.T2).max() < 4.0, "mm: one voxel"


def test_background_is_exactly_0_and_the_brain_is_above(prepared: Any) -> None:
    brain = array_of(prepared.brain) > 0
    for image in prepared.images.values():
        voxels = array_of(image)
        assert image.GetPixelID() == sitk.sitkFloat32
        assert (voxels[~brain] == 0).all()
        assert (voxels[brain] > 0).all()
    assert all(share > 0.9 for share in prepared.covered.values())


def test_labels_follow_the_image_they_were_drawn_on(prepared: Any, case: CaseInput) -> None:
    labels = array_of(prepared.segmentation)
    assert set(np.unique(labels)) == {0, 4}
    assert labels.sum() == pytest.approx(array_of(case.segmentation[1]).sum(), rel=0.15)  # type: ignore[index]


def test_on_the_grid_of_brats_the_header_is_that_of_brats(case: CaseInput) -> None:
    only = replace(case, images={Modality.T1CE: case.images[Modality.T1CE]}, segmentation=None)
    result = prepare_case(only, PreparationSettings(brain_mask=BrainMaskMethod.OTSU))
    assert Grid.of(result.images[Modality.T1CE]) == BRATS_GRID
    assert result.segmentation is None
    middle = np.argwhere(array_of(result.brain)).mean(axis=0)
    np.testing.assert_allclose(middle, [120, 120, 77], atol=12)


def test_stripped_images_keep_their_own_brain(stripped_head: Any) -> None:
    images = {modality: stripped_head.images[modality] for modality in (Modality.T1, Modality.T2)}
    result = prepare_case(CaseInput(images, Modality.T1, segmentation=None, brain_mask=None, warnings=()), ON_REFERENCE)
    assert result.mask.method is BrainMaskMethod.OWN
    assert result.stripped == set(images)
    np.testing.assert_array_equal(array_of(result.images[Modality.T1]), array_of(images[Modality.T1]))


def test_n4_makes_a_biased_image_more_uniform(scanner: Any, stripped_head: Any) -> None:
    raw = scanner["scan"](stripped_head, seed=2, bias=0.5)
    case = CaseInput(
        {Modality.T1: raw.images[Modality.T1]}, Modality.T1, segmentation=None, brain_mask=None, warnings=()
    )
    plain, corrected = (prepare_case(case, replace(ON_REFERENCE, n4=n4)) for n4 in (False, True))
    brain = array_of(plain.brain) > 0

    def spread(result: Any) -> float:
        voxels = array_of(result.images[Modality.T1])[brain]
        return float(voxels.std() / voxels.mean())

    assert spread(corrected) < 0.93 * spread(plain), "what is left is anatomy"


def test_without_a_mask_the_skull_stays(case: CaseInput, prepared: Any) -> None:
    only = replace(case, images={Modality.T1CE: case.images[Modality.T1CE]}, segmentation=None)
    result = prepare_case(only, replace(ON_REFERENCE, brain_mask=BrainMaskMethod.NONE))
    voxels = array_of(result.images[Modality.T1CE])
    assert (voxels > 0).sum() > 1.3 * (array_of(prepared.brain) > 0).sum()
    assert voxels.min() >= 0


def test_dark_brain_voxels_get_the_smallest_positive_value(stripped_head: Any) -> None:
    image = stripped_head.images[Modality.T1]
    voxels = array_of(image)
    dark = (28, 32, 26)
    voxels[dark] = 0
    given = (Modality.T1, image_of(stripped_head.brain.astype(np.uint8), stripped_head.affine))
    case = CaseInput(
        {Modality.T1: image_of(voxels, stripped_head.affine)},
        Modality.T1,
        segmentation=None,
        brain_mask=given,
        warnings=(),
    )
    result = array_of(prepare_case(case, ON_REFERENCE).images[Modality.T1])
    assert result[dark] == voxels[voxels > 0].min()


def test_intensities_that_are_no_scanner_s_are_refused(stripped_head: Any) -> None:
    voxels = array_of(stripped_head.images[Modality.T1])
    voxels[stripped_head.brain] -= 400
    given = (Modality.T1, image_of(stripped_head.brain.astype(np.uint8), stripped_head.affine))
    case = CaseInput(
        {Modality.T1: image_of(voxels, stripped_head.affine)},
        Modality.T1,
        segmentation=None,
        brain_mask=given,
        warnings=(),
    )
    with pytest.raises(RefusedCaseError, match="t1 has negative intensities in"):
        prepare_case(case, ON_REFERENCE)


def test_a_mask_beside_the_head_is_refused(stripped_head: Any) -> None:
    corner = np.zeros(stripped_head.brain.shape, np.uint8)
    corner[:2, :2, :2] = 1
    given = (Modality.T1, image_of(corner, stripped_head.affine))
    case = CaseInput(
        {Modality.T1: stripped_head.images[Modality.T1]}, Modality.T1, segmentation=None, brain_mask=given, warnings=()
    )
    with pytest.raises(RefusedCaseError, match="shows nothing inside the brain mask"):
        prepare_case(case, ON_REFERENCE)


def test_images_that_cannot_be_registered_are_refused(case: CaseInput, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no overlap")

    monkeypatch.setattr(case_preparation, "register_rigid", fail)
    with pytest.raises(RefusedCaseError, match="t2 cannot be registered to t1ce: no overlap"):
        prepare_case(case, ON_REFERENCE)
