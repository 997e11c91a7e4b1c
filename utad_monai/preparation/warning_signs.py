"""Signs that a preparation went wrong although every step came to an end."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import SimpleITK as sitk  # noqa: N813

from utad_monai.preparation.brain_mask import BrainMask
from utad_monai.preparation.case_preparation import PreparedCase
from utad_monai.preparation.rigid import rotation_degrees
from utad_monai.preparation.settings import BrainMaskMethod

MAX_ROTATION_DEGREES = 30.0
"""Heads turn less than this between two images of one visit."""
BRAIN_ML = (700.0, 2500.0)
"""Brains are not smaller or larger than this."""
_MIN_COVERED = 0.99


def warning_signs(case: PreparedCase) -> Iterator[str]:
    """Yield one phrase for each sign."""
    for modality, found in case.registrations.items():
        if not found.improved:
            yield f"{modality}: the registration found nothing better than the scanner's coordinates, which are kept"
        turned = rotation_degrees(found.matrix)
        if turned > MAX_ROTATION_DEGREES:
            yield f"{modality}: the registration turned the image by {turned:.0f} degrees: look at the picture"
    yield from _mask_signs(case.mask)
    yield from _coverage_signs(case)


def _mask_signs(mask: BrainMask) -> Iterator[str]:
    if mask.method is BrainMaskMethod.NONE:
        yield "no brain mask: the skull stays, and later steps take every voxel that is not 0 for brain"
        return
    if mask.rough:
        yield "the brain mask is ROUGH (threshold and morphology): look at the picture, install HD-BET or SynthStrip"
    if not BRAIN_ML[0] <= mask.volume_ml <= BRAIN_ML[1]:
        yield f"the brain mask has {mask.volume_ml:.0f} ml: it is no whole brain, or more than one"


def _coverage_signs(case: PreparedCase) -> Iterator[str]:
    for modality, share in case.covered.items():
        if share < _MIN_COVERED:
            yield f"{modality}: {1 - share:.0%} of the brain lies outside its field of view and is filled"
    brain = sitk.GetArrayViewFromImage(case.brain) > 0
    prepared_ml = brain.sum() * float(np.prod(case.brain.GetSpacing())) / 1000
    if prepared_ml < _MIN_COVERED * case.mask.volume_ml:
        yield f"{1 - prepared_ml / case.mask.volume_ml:.0%} of the brain lies outside the prepared grid and is cut off"
    if case.segmentation is not None:
        tumour = sitk.GetArrayViewFromImage(case.segmentation) > 0
        if tumour.any() and brain[tumour].mean() < _MIN_COVERED:
            yield f"seg: {1 - brain[tumour].mean():.0%} of the tumour lies outside the brain mask"
