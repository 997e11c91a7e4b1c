"""Resample once: images by interpolation, skull-stripped images without their background, labels by vote."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

import SimpleITK as sitk  # noqa: N813

from utad_monai.preparation.grids import Grid
from utad_monai.preparation.rigid import Matrix, transform_of
from utad_monai.preparation.settings import Interpolation

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
