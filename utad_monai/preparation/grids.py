"""Grids of voxels: between NIfTI's affines (RAS+) and ITK's geometry (LPS+), and the grid of BraTS."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813

Matrix = npt.NDArray[np.float64]

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def _nested(affine: Matrix) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) + 0.0 for value in row) for row in affine)


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a volume lie.

    Attributes:
        size: voxels along each axis, in the order of the file.
        affine: `(4, 4)` nested tuples, voxel indices to RAS+ mm, as NIfTI has it.
    """

    size: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, image: sitk.Image) -> Grid:
        """Return the grid of an ITK image."""
        x, y, z = (int(length) for length in image.GetSize())
        return cls((x, y, z), _nested(affine_of(image)))

    @classmethod
    def from_affine(cls, size: tuple[int, ...], affine: npt.ArrayLike) -> Grid:
        """Return the grid of a NIfTI volume."""
        x, y, z = (int(length) for length in size)
        return cls((x, y, z), _nested(np.asarray(affine, dtype=np.float64)))

    @property
    def matrix(self) -> Matrix:
        """The affine as an array."""
        return np.array(self.affine)

    @property
    def centre(self) -> Matrix:
        """`(3,)` middle of the grid, LPS mm."""
        middle = np.array([*((length - 1) / 2 for length in self.size), 1.0])
        centre: Matrix = (_RAS_TO_LPS @ self.matrix @ middle)[:3]
        return centre

    def empty(self) -> sitk.Image:
        """Return a uint8 image of zeros on this grid, to resample onto."""
        image = sitk.Image(list(self.size), sitk.sitkUInt8)
        _place(image, self.matrix)
        return image

    def same_as(self, other: Grid, tolerance_mm: float = 1e-2) -> bool:
        """Tell whether two grids have the same voxels, in the same order."""
        return self.size == other.size and bool(np.allclose(self.matrix, other.matrix, atol=tolerance_mm))

    def description(self) -> dict[str, Any]:
        """Return the grid as plain data."""
        return {"size": list(self.size), "affine": [list(row) for row in self.affine]}


BRATS_GRID = Grid.from_affine(
    (240, 240, 155), [[-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 239.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""The grid of every BraTS volume from 2017 to 2021."""


def image_of(array: npt.NDArray[Any], affine: Matrix) -> sitk.Image:
    """Make an ITK image of voxels `(X, Y, Z)` and a NIfTI affine without shear."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    _place(image, affine)
    return image


def array_of(image: sitk.Image) -> npt.NDArray[Any]:
    """Return the voxels `(X, Y, Z)` of an ITK image, as a copy."""
    array: npt.NDArray[Any] = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    return array


def affine_of(image: sitk.Image) -> Matrix:
    """Return the NIfTI affine of an ITK image, `(4, 4)`, voxel indices to RAS+ mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return _RAS_TO_LPS @ affine


def _place(image: sitk.Image, affine: Matrix) -> None:
    lps = _RAS_TO_LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
