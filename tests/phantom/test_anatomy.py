"""The healthy anatomy fits its box, varies between patients and gives way to a lesion."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from utad_monai.phantom.anatomy import (
    BOX_CENTRE_MM,
    Anatomy,
    Lesion,
    box_affine,
    box_shape,
    deform_template,
    smooth_field,
)

LESION = Lesion(centre_mm=np.array([30.0, -20.0, 25.0], dtype=np.float32), radius_mm=20.0, mass_effect=0.0)


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return deform_template(LESION, 2.0, np.random.default_rng(0))


@pytest.mark.parametrize(("spacing_mm", "shape"), [(1.0, (192, 224, 192)), (2.0, (96, 112, 96))])
def test_box_is_centred_on_the_brain_at_every_spacing(spacing_mm: float, shape: tuple[int, int, int]) -> None:
    affine = box_affine(spacing_mm)
    assert box_shape(spacing_mm) == shape
    assert nib.aff2axcodes(affine) == ("L", "P", "S")
    np.testing.assert_allclose(nib.affines.voxel_sizes(affine), spacing_mm)
    middle = (np.array(shape) - 1) / 2
    np.testing.assert_allclose(nib.affines.apply_affine(affine, middle), BOX_CENTRE_MM)


def test_smooth_field_has_unit_variance_and_follows_its_generator() -> None:
    field = smooth_field(2.0, 8.0, np.random.default_rng(0))
    assert field.shape == box_shape(2.0)
    assert field.mean() == pytest.approx(0, abs=0.1)
    assert field.std() == pytest.approx(1, abs=0.1)
    np.testing.assert_array_equal(field, smooth_field(2.0, 8.0, np.random.default_rng(0)))


def test_smooth_field_is_smooth_between_its_knots() -> None:
    rough, smooth = (smooth_field(2.0, knots_mm, np.random.default_rng(0)) for knots_mm in (8.0, 32.0))
    assert np.abs(np.diff(smooth, axis=0)).max() < 0.25
    assert np.abs(np.diff(smooth, axis=0)).mean() < 0.4 * np.abs(np.diff(rough, axis=0)).mean()


def test_smooth_field_is_the_same_in_mm_at_every_spacing() -> None:
    coarse, fine = (smooth_field(spacing_mm, 30.0, np.random.default_rng(0)) for spacing_mm in (2.0, 1.0))
    halved = fine.reshape(96, 2, 112, 2, 96, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(coarse, halved, atol=0.01)


def test_tissue_fractions_sum_to_one(anatomy: Anatomy) -> None:
    assert anatomy.tissue.shape == (3, anatomy.brain.sum())
    assert anatomy.tissue.min() >= 0
    np.testing.assert_allclose(anatomy.tissue.sum(axis=0), 1, atol=1e-5)


def test_brain_has_human_volume_and_does_not_touch_the_box(anatomy: Anatomy) -> None:
    assert 1200 < anatomy.brain.sum() * 8 / 1000 < 2400
    for axis in range(3):
        planes = np.moveaxis(anatomy.brain, axis, 0)
        assert not planes[[0, 1, -2, -1]].any()


def test_patients_differ(anatomy: Anatomy) -> None:
    other = deform_template(LESION, 2.0, np.random.default_rng(1))
    overlap = 2 * (anatomy.brain & other.brain).sum() / (anatomy.brain.sum() + other.brain.sum())
    assert 0.8 < overlap < 0.99


def test_a_smaller_brain_is_the_same_patient_s(anatomy: Anatomy) -> None:
    smaller = deform_template(LESION, 2.0, np.random.default_rng(0), brain_size=0.9)
    for whole, part in zip(_extents(anatomy), _extents(smaller), strict=True):
        assert abs(part - 0.9 * whole) <= 2
    assert abs(smaller.brain.sum() / anatomy.brain.sum() - 0.9**3) < 0.01


def test_mass_effect_moves_tissue_and_leaves_the_skull(anatomy: Anatomy) -> None:
    pushed = deform_template(replace(LESION, mass_effect=0.3), 2.0, np.random.default_rng(0))
    np.testing.assert_array_equal(pushed.brain, anatomy.brain)
    change = np.abs(pushed.tissue - anatomy.tissue).max(axis=0)
    distance = np.linalg.norm(anatomy.from_lesion_mm, axis=0)
    assert change[(distance > 10) & (distance < 30)].mean() > 0.1
    assert change[distance > 90].max() < 0.01


def _extents(anatomy: Anatomy) -> list[int]:
    """Voxels from end to end, along each axis."""
    return [int(np.ptp(indices)) + 1 for indices in np.nonzero(anatomy.brain)]
