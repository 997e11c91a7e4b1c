"""Matrices and ITK transforms say the same."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from utad_monai.preparation.rigid import (
    compose,
    displacement_mm,
    inverse,
    matrix_of,
    rotation_degrees,
    transform_of,
    translation,
)


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
