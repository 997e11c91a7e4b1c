"""Skull-stripped images are told from heads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare import brain_mask
from utad_monai.apps.prepare.brain_mask import (
    RegisteredCase,
    find_brain,
    is_skull_stripped,
    own_brain,
    resolve_method,
    rough_brain_mask,
)
from utad_monai.apps.prepare.geometry import Grid, array_of, image_of, translation
from utad_monai.apps.prepare.raw_images import RawFormat, RawSource, read_raw_image
from utad_monai.apps.prepare.settings import BrainMaskMethod, RefusedCaseError
from utad_monai.keys import Modality


@pytest.mark.parametrize("modality", list(Modality))
def test_brains_and_heads_are_told_apart(head: Any, stripped_head: Any, modality: Modality) -> None:
    assert is_skull_stripped(stripped_head.images[modality])
    assert not is_skull_stripped(head.images[modality])


@pytest.mark.parametrize("modality", list(Modality))
def test_a_head_in_front_of_exact_zeros_is_still_a_head(head: Any, modality: Modality) -> None:
    voxels = array_of(head.images[modality])
    voxels[voxels < 35] = 0
    middle = np.array(head.images[modality].GetSize()) // 2
    assert (voxels[: middle[0] // 2] == 0).mean() > 0.3
    assert not is_skull_stripped(image_of(voxels, head.affine))


def test_a_small_head_is_known_by_its_bone(head: Any) -> None:
    image = sitk.Image(head.images[Modality.T1])
    voxels = array_of(image)
    voxels[voxels < 20] = 0
    image = image_of(voxels, head.affine * np.array([0.75, 0.75, 0.75, 1]))
    assert not is_skull_stripped(image)


def test_a_thin_slab_has_no_depth_to_judge(stripped_head: Any) -> None:
    image = stripped_head.images[Modality.T1][:, :, 22:27]
    image.SetSpacing([4.0, 4.0, 20.0])
    assert is_skull_stripped(image) in (True, False)


def test_a_speck_is_no_brain() -> None:
    voxels = np.zeros((40, 40, 40), np.float32)
    voxels[15:25, 15:25, 15:25] = 100
    assert not is_skull_stripped(image_of(voxels, np.diag([-2.0, -2, 2, 1])))


def test_the_own_brain_has_its_holes_filled(stripped_head: Any) -> None:
    voxels = array_of(stripped_head.images[Modality.T2])
    voxels[28, 32, 26] = 0
    np.testing.assert_array_equal(array_of(own_brain(image_of(voxels, stripped_head.affine))) > 0, stripped_head.brain)


@pytest.mark.real_data
def test_real_brains_are_recognised(real_dataset_dir: Path) -> None:
    case = sorted(real_dataset_dir.iterdir())[0]
    for modality in Modality:
        path = case / f"{case.name}_{modality}.nii.gz"
        assert is_skull_stripped(read_raw_image(RawSource(path, RawFormat.NIFTI)).image)


@pytest.mark.parametrize("modality", list(Modality))
def test_the_brain_is_mostly_found(head: Any, modality: Modality) -> None:
    mask = rough_brain_mask(head.images[modality])
    assert Grid.of(mask) == Grid.of(head.images[modality])
    found = array_of(mask) > 0
    dice = 2 * (found & head.brain).sum() / (found.sum() + head.brain.sum())
    assert dice > 0.9


def test_bias_and_a_turned_head_do_not_matter(raw_head: Any) -> None:
    found = array_of(rough_brain_mask(raw_head.images[Modality.T1CE])) > 0
    assert found.sum() == pytest.approx(raw_head.head.brain.sum(), rel=0.15)


SHIFT = translation([8.0, 0, 0])


@pytest.fixture
def case(head: Any) -> RegisteredCase:
    """Give T1 as reference, and T2 whose points lie 8 mm (two voxels) further to the left."""
    images = {Modality.T1: head.images[Modality.T1], Modality.T2: head.images[Modality.T2]}
    return RegisteredCase(
        images, Modality.T1, matrices={Modality.T1: np.eye(4), Modality.T2: SHIFT}, stripped=frozenset(), given=None
    )


@pytest.fixture
def box(head: Any) -> sitk.Image:
    """Give a mask that is no brain."""
    voxels = np.zeros(head.brain.shape, np.uint8)
    voxels[20:30, 20:40, 10:30] = 1
    return image_of(voxels, head.affine)


def test_auto_takes_a_given_mask_before_anything_else(case: RegisteredCase, box: sitk.Image) -> None:
    given = replace(case, given=(Modality.T1, box), stripped=frozenset({Modality.T1}))
    mask = find_brain(given, BrainMaskMethod.AUTO)
    assert mask.method is BrainMaskMethod.GIVEN
    assert not mask.rough
    np.testing.assert_array_equal(array_of(mask.image), array_of(box))
    assert mask.volume_ml == pytest.approx(10 * 20 * 20 * 64 / 1000)


def test_a_mask_for_another_image_moves_with_it(case: RegisteredCase, box: sitk.Image) -> None:
    mask = find_brain(replace(case, given=(Modality.T2, box)), BrainMaskMethod.GIVEN)
    found = np.argwhere(array_of(mask.image))
    np.testing.assert_array_equal(found.min(axis=0), [18, 20, 10])  # a point at x in T1 lies at x + 2 voxels in T2


def test_auto_keeps_the_brain_of_a_stripped_image(case: RegisteredCase, stripped_head: Any) -> None:
    images = {**case.images, Modality.T2: stripped_head.images[Modality.T2]}
    mask = find_brain(replace(case, images=images, stripped=frozenset({Modality.T2})), BrainMaskMethod.AUTO)
    assert mask.method is BrainMaskMethod.OWN
    assert array_of(mask.image).sum() == pytest.approx(stripped_head.brain.sum(), rel=0.01)
    assert not np.array_equal(array_of(mask.image) > 0, stripped_head.brain), "it is moved onto the reference"


def test_own_can_be_asked_for(case: RegisteredCase, stripped_head: Any) -> None:
    stripped = replace(case, images={**case.images, Modality.T1: stripped_head.images[Modality.T1]})
    np.testing.assert_array_equal(array_of(find_brain(stripped, BrainMaskMethod.OWN).image) > 0, stripped_head.brain)


def test_auto_prefers_an_installed_program_to_the_rough_mask(
    case: RegisteredCase, box: sitk.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brain_mask, "installed_command", lambda tool: tool == BrainMaskMethod.SYNTHSTRIP)
    monkeypatch.setattr(brain_mask, "strip_skull", lambda *_: box)
    assert resolve_method(BrainMaskMethod.AUTO) is BrainMaskMethod.SYNTHSTRIP
    assert find_brain(case, BrainMaskMethod.AUTO).method is BrainMaskMethod.SYNTHSTRIP


def test_without_anything_the_mask_is_rough_and_says_so(case: RegisteredCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brain_mask, "installed_command", lambda _: None)
    mask = find_brain(case, BrainMaskMethod.AUTO)
    assert mask.method is BrainMaskMethod.OTSU
    assert mask.rough


def test_asking_for_a_mask_that_is_not_given_is_refused(case: RegisteredCase) -> None:
    with pytest.raises(RefusedCaseError, match="no brain mask is given"):
        find_brain(case, BrainMaskMethod.GIVEN)


def test_an_empty_mask_is_refused(case: RegisteredCase, box: sitk.Image) -> None:
    far = replace(case, given=(Modality.T2, box), matrices={**case.matrices, Modality.T2: translation([900, 0, 0])})
    with pytest.raises(RefusedCaseError, match="is empty"):
        find_brain(far, BrainMaskMethod.GIVEN)
