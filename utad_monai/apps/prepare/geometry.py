"""Grids, rigid moves between them, and resampling."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.settings import GridKind, Interpolation

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


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


# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


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


# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


_EXACT = 1e-3


def grid_to_reference(grid: Grid, kind: GridKind, brain: sitk.Image) -> Matrix:
    """Return the transform from points of the prepared grid to points of the reference.

    The grid of BraTS is shifted so that its middle is the middle of the brain's bounding box. When the reference has
    the same voxel size and axes, the shift is rounded to whole voxels: its intensities are then copied, not
    interpolated.

    Args:
        grid: the prepared grid.
        kind: which one it is.
        brain: uint8 mask on the reference's grid.

    Returns:
        `(4, 4)` LPS mm.
    """
    if kind is GridKind.REFERENCE:
        return np.eye(4)
    shift = bounding_box_centre(brain) - grid.centre
    raw = Grid.of(brain)
    same_axes = np.allclose(np.abs(raw.matrix[:3, :3]), np.abs(grid.matrix[:3, :3]), atol=_EXACT)
    if same_axes:
        corner = brain.TransformPhysicalPointToContinuousIndex((_first_voxel(grid) + shift).tolist())
        off = np.array(corner) - np.rint(corner)
        shift = shift - np.array(brain.GetDirection()).reshape(3, 3) @ (off * np.array(brain.GetSpacing()))
    return translation(shift)


def bounding_box_centre(mask: sitk.Image) -> npt.NDArray[np.float64]:
    """Return the middle of the smallest box, along the axes of the room, around a mask that is not empty; LPS mm."""
    places = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)[:, ::-1] * np.array(mask.GetSpacing())
    points = places @ np.array(mask.GetDirection()).reshape(3, 3).T + np.array(mask.GetOrigin())
    centre: npt.NDArray[np.float64] = (points.min(axis=0) + points.max(axis=0)) / 2
    return centre


def _first_voxel(grid: Grid) -> npt.NDArray[np.float64]:
    return np.array(grid.empty().GetOrigin())


# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


_ORDER = {Interpolation.LINEAR: sitk.sitkLinear, Interpolation.BSPLINE: sitk.sitkBSpline}
_INSIDE = 0.5


def resample_image(image: sitk.Image, grid: Grid, matrix: Matrix, interpolation: Interpolation) -> sitk.Image:
    """Sample a float32 image at the voxels of a grid; 0 outside the image.

    Args:
        image: on any grid.
        grid: the voxels of the result.
        matrix: `(4, 4)` LPS mm, points of the grid to points of the image.
        interpolation: how to read between voxels.
    """
    transform = transform_of(matrix)
    return sitk.Resample(image, grid.empty(), transform, _ORDER[interpolation], 0.0, sitk.sitkFloat32)


def resample_stripped(image: sitk.Image, brain: sitk.Image, grid: Grid, matrix: Matrix) -> sitk.Image:
    """Sample an image whose background is 0 so that the brain's edge is not darkened by the background beside it.

    Linear interpolation over the voxels of `brain` alone; 0 where less than half of the weight is brain.
    """
    weight = resample_image(sitk.Cast(brain, sitk.sitkFloat32), grid, matrix, Interpolation.LINEAR)
    masked = sitk.Mask(image, brain)
    total = resample_image(masked, grid, matrix, Interpolation.LINEAR)
    return sitk.Mask(sitk.Cast(total / sitk.Maximum(weight, _INSIDE), sitk.sitkFloat32), weight >= _INSIDE)


def resample_mask(mask: sitk.Image, grid: Grid, matrix: Matrix) -> sitk.Image:
    """Sample a uint8 mask: inside where the linear interpolation is at least one half."""
    weight = resample_image(sitk.Cast(mask, sitk.sitkFloat32), grid, matrix, Interpolation.LINEAR)
    return weight >= _INSIDE


def resample_labels(labels: sitk.Image, grid: Grid, matrix: Matrix) -> sitk.Image:
    """Sample integer labels: each voxel gets the label with the largest interpolated share, never a mean."""
    transform = transform_of(matrix)
    return sitk.Resample(labels, grid.empty(), transform, sitk.sitkLabelLinear, 0, labels.GetPixelID())


def resample_nearest(image: sitk.Image, grid: Grid, matrix: Matrix) -> sitk.Image:
    """Sample the nearest voxel; 0 outside the image."""
    transform = transform_of(matrix)
    return sitk.Resample(image, grid.empty(), transform, sitk.sitkNearestNeighbor, 0, image.GetPixelID())
