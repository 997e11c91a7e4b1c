"""Tell whether an image is skull-stripped already: background 0, a brain's volume, no skull under the surface."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

_MIN_BACKGROUND = 0.2
"""A brain fills about half of the smallest box around it."""
_BRAIN_ML = (400.0, 2300.0)
_VOXEL_MM = 2.0
_DEPTHS_MM = tuple(range(0, 21, 3))
_DEEP_MM = 25.0
_SKULL = 0.5
"""Bone is darker than this share of both what lies above and what lies far below it."""


def is_skull_stripped(image: sitk.Image) -> bool:
    """Judge a raw image by its voxels alone.

    Args:
        image: float32, any grid.
    """
    strides = tuple(max(1, round(_VOXEL_MM / spacing)) for spacing in image.GetSpacing())[::-1]
    voxels = sitk.GetArrayViewFromImage(image)[tuple(slice(None, None, stride) for stride in strides)]
    spacing = tuple(step * stride for step, stride in zip(image.GetSpacing()[::-1], strides, strict=True))
    if (voxels == 0).mean() < _MIN_BACKGROUND:
        return False
    inside = ndimage.binary_fill_holes(voxels != 0)
    volume_ml = inside.sum() * float(np.prod(spacing)) / 1000
    return _BRAIN_ML[0] <= volume_ml <= _BRAIN_ML[1] and not _has_skull(voxels, inside, spacing)


def own_brain(image: sitk.Image) -> sitk.Image:
    """Return the mask of a skull-stripped image, uint8: voxels that are not 0, with holes filled."""
    return sitk.BinaryFillhole(sitk.Cast(image != 0, sitk.sitkUInt8))


def _has_skull(voxels: npt.NDArray[Any], inside: npt.NDArray[np.bool_], spacing: tuple[float, ...]) -> bool:
    """Look for a dark layer between a bright surface and a bright inside."""
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    deep = voxels[depth > _DEEP_MM]
    layers = [voxels[(depth > low) & (depth <= low + 3)] for low in _DEPTHS_MM]
    if not deep.size or not all(layer.size for layer in layers):
        return False
    medians = [float(np.median(layer)) for layer in layers]
    inner = float(np.median(deep))
    return any(medians[at] < _SKULL * min(max(medians[:at]), inner) for at in range(1, len(medians)))
