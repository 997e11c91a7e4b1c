"""Choose the brain mask of a case, on the grid of its reference image."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813

from utad_monai.keys import Modality
from utad_monai.preparation.brain_tools import COMMANDS, installed_command, strip_skull
from utad_monai.preparation.grids import Grid
from utad_monai.preparation.refusal import RefusedCaseError
from utad_monai.preparation.resampling import resample_mask
from utad_monai.preparation.rigid import Matrix
from utad_monai.preparation.rough_mask import rough_brain_mask
from utad_monai.preparation.settings import BrainMaskMethod
from utad_monai.preparation.skull_stripped import own_brain


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
