"""Tell whether an image is skull-stripped already: background 0, a brain's volume, no skull under the surface."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

from utad_monai.apps.prepare.brain_tools import COMMANDS, installed_command, strip_skull
from utad_monai.apps.prepare.geometry import Grid, Matrix, resample_image, resample_mask
from utad_monai.apps.prepare.registration import correct_bias
from utad_monai.apps.prepare.settings import BrainMaskMethod, Interpolation, RefusedCaseError
from utad_monai.data.quality.soundness import ROUGH_MASK_ML, STRIPPED_ML
from utad_monai.keys import Modality

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


_MIN_BACKGROUND = 0.2
"""A brain fills about half of the smallest box around it."""
_COARSE_MM = 2.0
_DEPTHS_MM = tuple(range(0, 21, 3))
_DEEP_MM = 25.0
_SKULL = 0.5
"""Bone is darker than this share of both what lies above and what lies far below it."""


def is_skull_stripped(image: sitk.Image) -> bool:
    """Judge a raw image by its voxels alone.

    Args:
        image: float32, any grid.
    """
    strides = tuple(max(1, round(_COARSE_MM / spacing)) for spacing in image.GetSpacing())[::-1]
    voxels = sitk.GetArrayViewFromImage(image)[tuple(slice(None, None, stride) for stride in strides)]
    spacing = tuple(step * stride for step, stride in zip(image.GetSpacing()[::-1], strides, strict=True))
    if (voxels == 0).mean() < _MIN_BACKGROUND:
        return False
    inside = ndimage.binary_fill_holes(voxels != 0)
    volume_ml = inside.sum() * float(np.prod(spacing)) / 1000
    return STRIPPED_ML[0] <= volume_ml <= STRIPPED_ML[1] and not _has_skull(voxels, inside, spacing)


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


# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


_VOXEL_MM = 2.0
_EROSIONS_MM = (2.0, 4.0, 6.0, 8.0, 10.0)
"""Tried one after the other until the largest piece is no larger than a brain: deeper cuts thicker bridges."""
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
        if _volume_ml(brain) <= ROUGH_MASK_ML:
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


# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


@dataclass(frozen=True)
class BrainMask:
    """The brain of a case.

    Attributes:
        image: uint8 on the reference's grid.
        method: where it comes from; never `auto`.
    """

    image: sitk.Image
    method: BrainMaskMethod

    @property
    def rough(self) -> bool:
        """Whether it is a guess by threshold and morphology."""
        return self.method is BrainMaskMethod.OTSU

    @property
    def volume_ml(self) -> float:
        """Volume of the mask."""
        voxel = float(np.prod(self.image.GetSpacing()))
        return float((sitk.GetArrayViewFromImage(self.image) > 0).sum()) * voxel / 1000


@dataclass(frozen=True)
class RegisteredCase:
    """Raw images whose places relative to the reference are known.

    Attributes:
        images: float32, each on its raw grid.
        reference: the modality whose grid is the case's.
        matrices: `(4, 4)` LPS mm, points of the reference to points of each image; identity for the reference.
        stripped: the images that are skull-stripped.
        given: a mask of the user on the grid of the image it names; None when there is none.
    """

    images: Mapping[Modality, sitk.Image]
    reference: Modality
    _: KW_ONLY
    matrices: Mapping[Modality, Matrix]
    stripped: frozenset[Modality]
    given: tuple[Modality, sitk.Image] | None


def resolve_method(method: BrainMaskMethod) -> BrainMaskMethod:
    """Return what `auto` comes to for an image with skull and without a given mask on this machine."""
    if method is not BrainMaskMethod.AUTO:
        return method
    return next((tool for tool in COMMANDS if installed_command(tool)), BrainMaskMethod.OTSU)


def find_brain(case: RegisteredCase, method: BrainMaskMethod) -> BrainMask:
    """Find the brain of a case on the grid of its reference.

    Raises:
        RefusedCaseError: when the asked mask cannot be had, or is empty.
    """
    method = _method(case, method)
    mask = BrainMask(_mask(case, method), method)
    if not mask.volume_ml > 0:
        raise RefusedCaseError(f"the brain mask ({method}) is empty", "look at the images, or give a mask")
    return mask


def _method(case: RegisteredCase, method: BrainMaskMethod) -> BrainMaskMethod:
    if method is not BrainMaskMethod.AUTO:
        return method
    if case.given is not None:
        return BrainMaskMethod.GIVEN
    return BrainMaskMethod.OWN if case.stripped else resolve_method(method)


def _mask(case: RegisteredCase, method: BrainMaskMethod) -> sitk.Image:
    reference = case.images[case.reference]
    if method is BrainMaskMethod.GIVEN:
        if case.given is None:
            raise RefusedCaseError("no brain mask is given", "add a file <case>_brain_mask or the column brain_mask")
        return _onto_reference(case, *case.given)
    if method is BrainMaskMethod.OWN:
        stripped = [modality for modality in case.images if modality in case.stripped] or [case.reference]
        owner = case.reference if case.reference in stripped else stripped[0]
        return _onto_reference(case, owner, own_brain(case.images[owner]))
    if method in COMMANDS:
        return strip_skull(reference, method)
    return rough_brain_mask(reference)  # without a mask, too: the grid is centred on it


def _onto_reference(case: RegisteredCase, owner: Modality, mask: sitk.Image) -> sitk.Image:
    if owner == case.reference:
        return mask
    return resample_mask(mask, Grid.of(case.images[case.reference]), case.matrices[owner])
