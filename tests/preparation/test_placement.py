"""The prepared grid has the brain in its middle and is never turned."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.preparation.grids import BRATS_GRID, Grid, image_of
from utad_monai.preparation.placement import bounding_box_centre, grid_to_reference
from utad_monai.preparation.settings import GridKind


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
