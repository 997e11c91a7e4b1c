"""Grids keep their geometry on the way between NIfTI and ITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from utad_monai.apps.prepare.geometry import (
    BRATS_GRID,
    Grid,
    affine_of,
    array_of,
    bounding_box_centre,
    compose,
    displacement_mm,
    grid_to_reference,
    image_of,
    inverse,
    matrix_of,
    resample_image,
    resample_labels,
    resample_mask,
    resample_nearest,
    resample_stripped,
    rotation_degrees,
    transform_of,
    translation,
)
from utad_monai.apps.prepare.settings import GridKind, Interpolation


@given(st.integers(0, 10_000), st.booleans())
def test_any_orthogonal_affine_and_its_voxels_survive(seed: int, mirrored: bool) -> None:
    draw = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(random_state=seed).as_matrix() * draw.uniform(0.4, 6, 3)
    affine[:3, 0] *= -1 if mirrored else 1
    affine[:3, 3] = draw.uniform(-200, 200, 3)
    array = draw.normal(size=(3, 4, 5)).astype(np.float32)
    image = image_of(array, affine)
    np.testing.assert_allclose(affine_of(image), affine, atol=1e-9)
    np.testing.assert_array_equal(array_of(image), array)
    grid = Grid.of(image)
    assert grid.same_as(Grid.of(grid.empty()))
    index = (2, 1, 3)
    np.testing.assert_allclose(
        image.TransformIndexToPhysicalPoint(index), (affine @ [*index, 1])[:3] * [-1, -1, 1], atol=1e-6
    )


def test_the_grid_of_brats_is_lps_at_1_mm() -> None:
    assert BRATS_GRID.size == (240, 240, 155)
    np.testing.assert_array_equal(np.diag(BRATS_GRID.matrix), [-1, -1, 1, 1])
    np.testing.assert_array_equal(BRATS_GRID.matrix[:3, 3], [0, 239, 0])
    np.testing.assert_allclose(BRATS_GRID.centre, [119.5, -119.5, 77])


def test_grids_differ_by_size_and_by_place() -> None:
    moved = BRATS_GRID.matrix
    moved[0, 3] += 0.5
    assert not BRATS_GRID.same_as(Grid.from_affine(BRATS_GRID.size, moved))
    assert not BRATS_GRID.same_as(Grid.from_affine((240, 240, 154), BRATS_GRID.matrix))


def test_description_gives_the_grid_back() -> None:
    plain = BRATS_GRID.description()
    assert Grid.from_affine(plain["size"], plain["affine"]) == BRATS_GRID


def rigid(degrees: float, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    axis = draw.normal(size=3)
    matrix = translation(draw.uniform(-20, 20, 3))
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis)).as_matrix()
    return matrix


def test_a_matrix_survives_the_way_through_itk() -> None:
    np.testing.assert_allclose(matrix_of(transform_of(rigid(33))), rigid(33), atol=1e-12)


def test_the_first_transform_is_applied_first() -> None:
    turn, shift = rigid(90), translation([1, 2, 3])
    point = np.array([5.0, 6.0, 7.0, 1.0])
    np.testing.assert_allclose(compose(turn, shift) @ point, turn @ (shift @ point))


def test_inverse_leads_back() -> None:
    np.testing.assert_allclose(compose(inverse(rigid(12)), rigid(12)), np.eye(4), atol=1e-12)


@pytest.mark.parametrize("degrees", [0.0, 0.5, 8.0, 120.0, 180.0])
def test_the_angle_is_found_whatever_the_axis(degrees: float) -> None:
    for seed in range(3):
        assert rotation_degrees(rigid(degrees, seed)) == pytest.approx(degrees, abs=1e-4)


def test_displacement_depends_on_the_point() -> None:
    turn = rigid(10)
    turn[:3, 3] = 0
    assert displacement_mm(turn, [0, 0, 0]) == pytest.approx(0)
    assert displacement_mm(turn, [100, 0, 0]) > 1
    assert displacement_mm(translation([3, 4, 0]), [9, 9, 9]) == pytest.approx(5)


def brain(affine: np.ndarray, shape: tuple[int, int, int] = (40, 44, 30)) -> sitk.Image:
    mask = np.zeros(shape, np.uint8)
    mask[5:20, 8:30, 4:24] = 1
    return image_of(mask, affine)


def test_the_middle_of_the_brain_is_the_middle_of_the_grid() -> None:
    mask = brain(np.array([[-2.0, 0, 0, 33], [0, -2, 0, 7], [0, 0, 2.5, -90], [0, 0, 0, 1]]))
    matrix = grid_to_reference(BRATS_GRID, GridKind.BRATS, mask)
    np.testing.assert_array_equal(matrix[:3, :3], np.eye(3))
    np.testing.assert_allclose(BRATS_GRID.centre + matrix[:3, 3], bounding_box_centre(mask))


def test_voxels_of_the_same_size_are_not_interpolated() -> None:
    mask = brain(np.array([[-1.0, 0, 0, 33.3], [0, -1, 0, 7.7], [0, 0, 1, -90.1], [0, 0, 0, 1]]))
    matrix = grid_to_reference(BRATS_GRID, GridKind.BRATS, mask)
    corner = np.array([0.0, -239.0, 0.0]) + matrix[:3, 3]
    index = np.array(mask.TransformPhysicalPointToContinuousIndex(corner.tolist()))
    np.testing.assert_allclose(index, np.rint(index), atol=1e-6)
    assert np.abs(BRATS_GRID.centre + matrix[:3, 3] - bounding_box_centre(mask)).max() <= 0.5 + 1e-6


def test_the_reference_grid_stays_in_place() -> None:
    mask = brain(np.diag([-2.0, -2, 2, 1]))
    np.testing.assert_array_equal(grid_to_reference(Grid.of(mask), GridKind.REFERENCE, mask), np.eye(4))


def test_the_box_is_along_the_axes_of_the_room() -> None:
    mask = brain(np.diag([-2.0, -2, 2, 1]))
    assert bounding_box_centre(mask) == pytest.approx([2 * 12.0, 2 * 18.5, 2 * 13.5])


HALF = translation([0.5, 0, 0])


@pytest.fixture
def ramp() -> sitk.Image:
    """Give 3 x + 10 on 12 x 10 x 9 voxels of 1 mm."""
    x = np.arange(12, dtype=np.float32)[:, None, None]
    return image_of(np.broadcast_to(3 * x + 10, (12, 10, 9)).copy(), np.diag([-1.0, -1, 1, 1]))


@pytest.mark.parametrize("interpolation", list(Interpolation))
def test_points_of_the_grid_are_looked_up_where_the_transform_says(
    ramp: sitk.Image, interpolation: Interpolation
) -> None:
    result = array_of(resample_image(ramp, Grid.of(ramp), HALF, interpolation))
    np.testing.assert_allclose(result[2:9], array_of(ramp)[2:9] + 1.5, atol=0.2)
    assert (array_of(resample_image(ramp, Grid.of(ramp), translation([40, 0, 0]), interpolation)) == 0).all()


def test_the_edge_of_a_stripped_brain_is_not_darkened(ramp: sitk.Image) -> None:
    brain = np.zeros((12, 10, 9), np.uint8)
    brain[3:9, 2:8, 2:7] = 1
    mask = image_of(brain, np.diag([-1.0, -1, 1, 1]))
    constant = image_of(np.where(brain, 100, 0).astype(np.float32), np.diag([-1.0, -1, 1, 1]))
    result = array_of(resample_stripped(constant, mask, Grid.of(ramp), translation([0.4, 0.3, 0])))
    assert set(np.unique(np.round(result, 3))) == {0.0, 100.0}
    plain = array_of(resample_image(constant, Grid.of(ramp), translation([0.4, 0.3, 0]), Interpolation.LINEAR))
    assert len(np.unique(plain)) > 2


def test_labels_are_never_averaged(ramp: sitk.Image) -> None:
    labels = np.zeros((12, 10, 9), np.uint8)
    labels[2:6], labels[6:10] = 1, 4
    image = image_of(labels, np.diag([-1.0, -1, 1, 1]))
    for resample in (resample_labels, resample_nearest):
        result = array_of(resample(image, Grid.of(ramp), translation([0.4, 0, 0])))
        assert set(np.unique(result)) <= {0, 1, 4}
        np.testing.assert_array_equal(result[2:10, 5, 5], [1, 1, 1, 1, 4, 4, 4, 4])


def test_a_mask_is_cut_at_one_half(ramp: sitk.Image) -> None:
    brain = np.zeros((12, 10, 9), np.uint8)
    brain[4:8] = 1
    image = image_of(brain, np.diag([-1.0, -1, 1, 1]))
    result = array_of(resample_mask(image, Grid.of(ramp), translation([0.6, 0, 0])))[:, 5, 5]
    np.testing.assert_array_equal(np.flatnonzero(result), [3, 4, 5, 6])
