"""Prepare one case: register, find the brain, resample once, correct the bias, mask. The recipe, in this order."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.brain_mask import BrainMask, RegisteredCase, find_brain, is_skull_stripped, own_brain
from utad_monai.apps.prepare.case_input import CaseInput
from utad_monai.apps.prepare.geometry import (
    BRATS_GRID,
    Grid,
    Matrix,
    compose,
    grid_to_reference,
    resample_image,
    resample_labels,
    resample_mask,
    resample_nearest,
    resample_stripped,
)
from utad_monai.apps.prepare.registration import Registration, correct_bias, register_rigid
from utad_monai.apps.prepare.settings import BrainMaskMethod, GridKind, PreparationSettings, RefusedCaseError
from utad_monai.keys import Modality

_MAX_NEGATIVE = 0.01
"""Share of the brain that may be negative: interpolation and filters of the scanner make a few such voxels."""


@dataclass(frozen=True)
class PreparedCase:
    """A prepared case in memory.

    Attributes:
        images: float32 on the prepared grid; background exactly 0, every brain voxel above 0 (with a mask).
        segmentation: uint8 on the prepared grid, or None.
        brain: uint8 on the prepared grid.
        mask: the brain on the reference's raw grid, and where it comes from.
        reference: the modality to which the others were registered.
        registrations: of every image but the reference.
        matrices: `(4, 4)` LPS mm, points of the prepared grid to points of each raw image.
        raw_grids: the grid of each raw image.
        grid: the prepared grid.
        stripped: images that were skull-stripped already.
        covered: share of the brain that lies inside the field of view of each image.
    """

    images: Mapping[Modality, sitk.Image]
    segmentation: sitk.Image | None
    _: KW_ONLY
    brain: sitk.Image
    mask: BrainMask
    reference: Modality
    registrations: Mapping[Modality, Registration]
    matrices: Mapping[Modality, Matrix]
    raw_grids: Mapping[Modality, Grid]
    grid: Grid
    stripped: frozenset[Modality]
    covered: Mapping[Modality, float]


def prepare_case(case: CaseInput, settings: PreparationSettings) -> PreparedCase:
    """Prepare the images of one case.

    Args:
        case: raw images.
        settings: what the result shall look like.

    Raises:
        RefusedCaseError: when images cannot be registered, no brain is found, or intensities cannot be used.
    """
    stripped = frozenset(modality for modality, image in case.images.items() if is_skull_stripped(image))
    registrations = _register(case, settings.seed)
    to_image = {modality: found.matrix for modality, found in registrations.items()} | {case.reference: np.eye(4)}
    registered = RegisteredCase(
        case.images, case.reference, matrices=to_image, stripped=stripped, given=case.brain_mask
    )
    mask = find_brain(registered, settings.brain_mask)
    grid = BRATS_GRID if settings.grid is GridKind.BRATS else Grid.of(case.images[case.reference])
    to_reference = grid_to_reference(grid, settings.grid, mask.image)
    matrices = {modality: compose(to_image[modality], to_reference) for modality in case.images}
    brain = resample_mask(mask.image, grid, to_reference)
    images = {
        modality: _prepare_image(
            modality,
            image,
            brain,
            grid,
            matrices[modality],
            settings=settings,
            mask=mask,
            stripped=modality in stripped,
        )
        for modality, image in case.images.items()
    }
    segmentation = None
    if case.segmentation is not None:
        owner, labels = case.segmentation
        segmentation = resample_labels(labels, grid, matrices[owner])
    return PreparedCase(
        images=images,
        segmentation=segmentation,
        brain=brain,
        mask=mask,
        reference=case.reference,
        registrations=registrations,
        matrices=matrices,
        raw_grids={modality: Grid.of(image) for modality, image in case.images.items()},
        grid=grid,
        stripped=stripped,
        covered={m: _covered(image, brain, grid, matrices[m]) for m, image in case.images.items()},
    )


def _register(case: CaseInput, seed: int) -> dict[Modality, Registration]:
    registrations = {}
    for modality, image in case.images.items():
        if modality != case.reference:
            try:
                registrations[modality] = register_rigid(case.images[case.reference], image, seed)
            except RuntimeError as error:
                reason = f"{modality} cannot be registered to {case.reference}: {error}"
                raise RefusedCaseError(reason, "check that both show the same head, or leave one out") from error
    return registrations


def _prepare_image(
    modality: Modality,
    image: sitk.Image,
    case_brain: sitk.Image,
    grid: Grid,
    matrix: Matrix,
    *,
    settings: PreparationSettings,
    mask: BrainMask,
    stripped: bool,
) -> sitk.Image:
    """Resample an image, correct its bias and mask it; one that is skull-stripped keeps its own brain."""
    own = stripped and mask.method in (BrainMaskMethod.OWN, BrainMaskMethod.NONE)
    if own:
        own_mask = own_brain(image)
        brain = resample_mask(own_mask, grid, matrix)
        resampled = resample_stripped(image, own_mask, grid, matrix)
    else:
        brain = case_brain
        resampled = resample_image(image, grid, matrix, settings.interpolation)
    _refuse_negative(modality, resampled, brain)
    if settings.n4:
        resampled = correct_bias(resampled, brain)
    if mask.method is BrainMaskMethod.NONE and not own:
        return sitk.Cast(sitk.Maximum(resampled, 0.0), sitk.sitkFloat32)
    return _mask_brain(modality, resampled, brain)


def _refuse_negative(modality: Modality, image: sitk.Image, brain: sitk.Image) -> None:
    inside = sitk.GetArrayViewFromImage(image)[sitk.GetArrayViewFromImage(brain) > 0]
    if inside.size and (inside < 0).mean() > _MAX_NEGATIVE:
        reason = f"{modality} has negative intensities in {(inside < 0).mean():.0%} of the brain"
        raise RefusedCaseError(reason, "give the scanner's intensities, not normalised ones")


def _mask_brain(modality: Modality, image: sitk.Image, brain: sitk.Image) -> sitk.Image:
    """Set the background to exactly 0 and brain voxels that are not positive to the smallest positive value."""
    inside = sitk.GetArrayViewFromImage(image)[sitk.GetArrayViewFromImage(brain) > 0]
    if not (inside > 0).any():
        raise RefusedCaseError(f"{modality} shows nothing inside the brain mask", "check the mask and the images")
    smallest = float(inside[inside > 0].min())
    return sitk.Cast(sitk.Mask(sitk.Maximum(image, smallest), brain), sitk.sitkFloat32)


def _covered(image: sitk.Image, brain: sitk.Image, grid: Grid, matrix: Matrix) -> float:
    ones = sitk.Add(sitk.Cast(image, sitk.sitkUInt8) * 0, 1)
    covered = resample_nearest(ones, grid, matrix)  # a view does not keep its image alive: a name does
    seen = sitk.GetArrayViewFromImage(covered) > 0
    inside = sitk.GetArrayViewFromImage(brain) > 0
    return float(seen[inside].mean()) if inside.any() else 0.0
