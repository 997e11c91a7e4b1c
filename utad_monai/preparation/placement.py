"""Where the prepared grid lies in the reference's space: the brain in its middle, never turned."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813

from utad_monai.preparation.grids import Grid
from utad_monai.preparation.rigid import Matrix, translation
from utad_monai.preparation.settings import GridKind

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
