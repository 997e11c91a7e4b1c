"""The brain mask comes from the best source that is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.keys import Modality
from utad_monai.preparation import brain_mask
from utad_monai.preparation.brain_mask import RegisteredCase, find_brain, resolve_method
from utad_monai.preparation.grids import array_of, image_of
from utad_monai.preparation.refusal import RefusedCaseError
from utad_monai.preparation.rigid import translation
from utad_monai.preparation.settings import BrainMaskMethod

SHIFT = translation([8.0, 0, 0])


@pytest.fixture
def case(head: Any) -> RegisteredCase:
    """Give T1 as reference, and T2 whose points lie 8 mm (two voxels) further to the left."""
    images = {Modality.T1: head.images[Modality.T1], Modality.T2: head.images[Modality.T2]}
    return RegisteredCase(images, Modality.T1, {Modality.T1: np.eye(4), Modality.T2: SHIFT}, frozenset(), None)


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
