"""Rigid transforms as ITK has them: they take a point of the output to the point of the input that is sampled there."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813

Matrix = npt.NDArray[np.float64]


def matrix_of(transform: sitk.Transform) -> Matrix:
    """Return a rigid or affine ITK transform as `(4, 4)`, LPS mm to LPS mm."""
    matrix = np.eye(4)
    origin = np.array(transform.TransformPoint([0.0, 0.0, 0.0]))
    matrix[:3, 3] = origin
    for axis in range(3):
        matrix[:3, axis] = np.array(transform.TransformPoint(np.eye(3)[axis].tolist())) - origin
    return matrix


def transform_of(matrix: Matrix) -> sitk.AffineTransform:
    """Return `(4, 4)` as an ITK transform."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def compose(second: Matrix, first: Matrix) -> Matrix:
    """Return the transform that applies `first`, then `second`."""
    return second @ first


def inverse(matrix: Matrix) -> Matrix:
    """Return the transform back."""
    back: Matrix = np.linalg.inv(matrix).astype(np.float64)
    return back


def translation(shift_mm: npt.ArrayLike) -> Matrix:
    """Return the transform that adds a shift, LPS mm."""
    matrix = np.eye(4)
    matrix[:3, 3] = shift_mm
    return matrix


def rotation_degrees(matrix: Matrix) -> float:
    """Return the angle of the rotation about its axis, 0 to 180 degrees."""
    cosine = (np.trace(matrix[:3, :3]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def displacement_mm(matrix: Matrix, point: npt.ArrayLike) -> float:
    """Return how far one point is moved; a translation alone depends on where the axis lies."""
    place = np.asarray(point, dtype=np.float64)
    return float(np.linalg.norm(matrix[:3, :3] @ place + matrix[:3, 3] - place))
