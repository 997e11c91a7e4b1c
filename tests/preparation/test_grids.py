"""Grids keep their geometry on the way between NIfTI and ITK."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from utad_monai.preparation.grids import BRATS_GRID, Grid, affine_of, array_of, image_of


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
