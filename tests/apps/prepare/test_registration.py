"""Registration finds known motions, the same every time, and says when it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.geometry import Grid, matrix_of, rotation_degrees, transform_of, translation
from utad_monai.apps.prepare.registration import _coarsen, one_itk_thread, register_rigid
from utad_monai.keys import Modality

Scanner = dict[str, Callable[..., Any]]


@pytest.mark.parametrize("modality", [Modality.FLAIR, Modality.T1, Modality.T2])
def test_a_turned_biased_image_is_found_within_a_voxel(raw_head: Any, modality: Modality) -> None:
    found = register_rigid(raw_head.images[Modality.T1CE], raw_head.images[modality])
    error = raw_head.error_mm(found.matrix, Modality.T1CE, modality)
    assert error.mean() < 2.0, "mm: half a voxel"
    assert error.max() < 4.0, "mm: one voxel"
    assert found.improved
    assert found.information_before is not None
    assert found.information_after > found.information_before + 0.1
    assert 1 < rotation_degrees(found.matrix) < 20


def test_thick_slices_are_registered_within_their_thickness(head: Any, scanner: Scanner) -> None:
    raw = scanner["scan"](head, seed=3, thickness_mm=8)
    found = register_rigid(raw.images[Modality.T1CE], raw.images[Modality.T2])
    error = raw.error_mm(found.matrix, Modality.T1CE, Modality.T2)
    assert error.mean() < 4.0, "mm: half a slice"
    assert error.max() < 8.0, "mm: one slice"


def test_coarse_levels_do_not_move_the_image(head: Any) -> None:
    """A level with voxels of twice the size finds the same place: shrinking keeps the middle of what it averages."""
    image = head.images[Modality.T1]
    fine = sitk.Expand(image, [4, 4, 4])
    turned = sitk.Flip(fine, [True, False, False])
    for mm in (2.0, 4.0):
        coarse = _coarsen(turned, mm)
        moment = sitk.CenteredTransformInitializer(
            turned, coarse, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS
        )
        np.testing.assert_allclose(matrix_of(moment)[:3, 3], 0, atol=1e-2)


def test_the_same_input_gives_the_same_bits(raw_head: Any) -> None:
    pair = raw_head.images[Modality.T1CE], raw_head.images[Modality.T2]
    first, second = register_rigid(*pair), register_rigid(*pair)
    np.testing.assert_array_equal(first.matrix, second.matrix)
    assert first.information_after == second.information_after


def test_an_aligned_image_stays_where_it_is(head: Any) -> None:
    found = register_rigid(head.images[Modality.T1CE], head.images[Modality.T1])
    assert found.improved
    assert rotation_degrees(found.matrix) < 0.3
    assert np.abs(found.matrix[:3, 3]).max() < 0.5
    same = register_rigid(head.images[Modality.T1], head.images[Modality.T1])
    np.testing.assert_array_equal(same.matrix, np.eye(4))
    assert same.improved


def test_an_image_far_away_is_found_from_another_start(head: Any) -> None:
    image = head.images[Modality.T2]
    away = sitk.Image(image)
    away.SetOrigin(np.add(image.GetOrigin(), (0, 0, 2000)).tolist())
    found = register_rigid(head.images[Modality.T1CE], away)
    assert found.information_before is None
    assert found.start in ("centre", "moments")
    np.testing.assert_allclose(found.matrix, translation([0, 0, 2000]), atol=1.0)


def test_noise_keeps_the_scanner_coordinates_or_says_what_it_did(head: Any) -> None:
    image = sitk.BinShrink(head.images[Modality.T1], [2, 2, 2])
    found = register_rigid(image, sitk.AdditiveGaussianNoise(image * 0, 50.0, 100.0, 1))
    assert found.information_after < 0.1, "nothing in common"


def test_a_worse_result_is_dropped_and_reported(head: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    worse = sitk.Euler3DTransform()
    worse.SetTranslation([25.0, 0, 0])
    monkeypatch.setattr("utad_monai.apps.prepare.registration._optimise", lambda *_: (worse, 0.0))
    found = register_rigid(head.images[Modality.T1], head.images[Modality.T2])
    assert not found.improved
    assert found.start == "scanner"
    np.testing.assert_array_equal(found.matrix, np.eye(4))


def test_images_that_cannot_be_compared_are_an_error(head: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utad_monai.apps.prepare.registration._optimise", lambda *_: None)
    with pytest.raises(RuntimeError, match="do not overlap"):
        register_rigid(head.images[Modality.T1], head.images[Modality.T2])


def test_mostly_empty_images_can_be_clipped() -> None:
    sparse = sitk.Image([20, 20, 20], sitk.sitkFloat32)
    sparse[10, 10, 10] = 5.0
    assert register_rigid(sparse, sparse).improved


def test_the_number_of_threads_is_put_back() -> None:
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    with one_itk_thread():
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == 1
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == before


def test_the_transform_takes_reference_points_to_image_points(head: Any) -> None:
    """A shift by +12 mm of the moving image's content is found as +12 mm, not -12."""
    image = head.images[Modality.T1]
    moved = sitk.Resample(image, Grid.of(image).empty(), transform_of(translation([-12, 0, 0])), sitk.sitkLinear, 0.0)
    found = register_rigid(image, sitk.Cast(moved, sitk.sitkFloat32))
    np.testing.assert_allclose(found.matrix[:3, 3], [12, 0, 0], atol=0.5)
    np.testing.assert_allclose(matrix_of(transform_of(found.matrix)), found.matrix)
