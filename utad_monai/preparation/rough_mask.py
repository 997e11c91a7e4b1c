"""A brain mask without a trained tool: threshold, erosion, largest piece, dilation. Rough, and called so."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813

from utad_monai.preparation.bias_field import correct_bias
from utad_monai.preparation.grids import Grid
from utad_monai.preparation.resampling import resample_image, resample_mask
from utad_monai.preparation.settings import Interpolation

_VOXEL_MM = 2.0
_EROSIONS_MM = (2.0, 4.0, 6.0, 8.0, 10.0)
"""Tried one after the other until the largest piece is no larger than a brain: deeper cuts thicker bridges."""
_LARGEST_ML = 1800.0
_MIDDLE = 0.5
"""Deeper than this share of the deepest voxel lies brain, and little else."""
_BONE = 0.5
"""Bone is darker than this share of the brain's median in every sequence."""
_BIAS_ITERATIONS = (20, 20)
"""Enough for a threshold."""
_CLOSING_MM = 8.0
"""Sulci and ventricles up to this width belong to the brain."""


def rough_brain_mask(image: sitk.Image) -> sitk.Image:
    """Guess the brain of an image with skull.

    Args:
        image: float32, any grid.

    Returns:
        uint8 on the same grid. It can miss parts of the brain or hold parts of the head.
    """
    coarse_grid = _isotropic(image)
    coarse = resample_image(image, coarse_grid, np.eye(4), Interpolation.LINEAR)
    head = _largest(sitk.OtsuThreshold(coarse, 0, 1))
    tissue = _bright(correct_bias(coarse, head, _BIAS_ITERATIONS), head)
    brain = _middle_piece(tissue)
    return resample_mask(brain, Grid.of(image), np.eye(4))


def _bright(image: sitk.Image, head: sitk.Image) -> sitk.Image:
    """Return the voxels of the head that are not much darker than its middle, which is brain: bone is."""
    depth = sitk.SignedMaurerDistanceMap(head, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    depths = sitk.GetArrayViewFromImage(depth)
    middle = float(np.median(sitk.GetArrayViewFromImage(image)[depths > _MIDDLE * depths.max()]))
    return sitk.And(image > _BONE * middle, head)


def _isotropic(image: sitk.Image) -> Grid:
    grid = Grid.of(image)
    affine = grid.matrix
    spacing = np.array(image.GetSpacing())
    affine[:3, :3] *= _VOXEL_MM / spacing
    size = tuple(max(2, round(length * mm / _VOXEL_MM)) for length, mm in zip(grid.size, spacing, strict=True))
    return Grid.from_affine(size, affine)


def _middle_piece(tissue: sitk.Image) -> sitk.Image:
    """Cut the bridges to the scalp, keep the largest piece, and grow it back."""
    brain = tissue
    for millimetres in _EROSIONS_MM:
        brain = _open_largest(tissue, millimetres)
        if _volume_ml(brain) <= _LARGEST_ML:
            break
    closed = sitk.BinaryMorphologicalClosing(_padded(brain), _radius(_CLOSING_MM), sitk.sitkBall)
    return sitk.BinaryFillhole(_cropped(closed))


def _open_largest(tissue: sitk.Image, millimetres: float) -> sitk.Image:
    core = _largest(sitk.BinaryErode(tissue, _radius(millimetres), sitk.sitkBall))
    return sitk.And(sitk.BinaryDilate(core, _radius(millimetres + _VOXEL_MM), sitk.sitkBall), tissue)


def _largest(mask: sitk.Image) -> sitk.Image:
    return sitk.Equal(sitk.RelabelComponent(sitk.ConnectedComponent(mask), sortByObjectSize=True), 1)


def _padded(mask: sitk.Image) -> sitk.Image:
    margin = _radius(_CLOSING_MM)
    return sitk.ConstantPad(mask, margin, margin, 0)


def _cropped(mask: sitk.Image) -> sitk.Image:
    margin = _radius(_CLOSING_MM)
    return sitk.Crop(mask, margin, margin)


def _radius(millimetres: float) -> list[int]:
    return [round(millimetres / _VOXEL_MM)] * 3


def _volume_ml(mask: sitk.Image) -> float:
    return float(sitk.GetArrayViewFromImage(mask).sum()) * _VOXEL_MM**3 / 1000
