"""Read every image of a raw case; all problems are found before anything is computed."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.geometry import Grid
from utad_monai.apps.prepare.raw_cases import RawCase
from utad_monai.apps.prepare.raw_images import RawImage, read_raw_image
from utad_monai.apps.prepare.settings import REFERENCE_ORDER
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind
from utad_monai.data.sequences import RawRole
from utad_monai.keys import Modality
from utad_monai.transforms import InvalidImageError

_LABELS = frozenset({0, 1, 2, 3, 4})
_LATE_ENHANCING, _EARLY_ENHANCING = 3, 4


@dataclass(frozen=True)
class CaseInput:
    """The images of a raw case.

    Attributes:
        images: float32 in `Modality` order, each on its own grid.
        reference: the modality to which the others are registered.
        segmentation: uint8 labels (4 is enhancing tumour) and the image whose grid they lie on.
        brain_mask: uint8 and the image whose grid it lies on.
        warnings: what somebody should look at.
    """

    images: Mapping[Modality, sitk.Image]
    reference: Modality
    _: KW_ONLY
    segmentation: tuple[Modality, sitk.Image] | None
    brain_mask: tuple[Modality, sitk.Image] | None
    warnings: tuple[Finding, ...]


def read_case(case: RawCase, wanted_reference: Modality | None = None) -> CaseInput:
    """Read and check all images of a case.

    Args:
        case: where they are.
        wanted_reference: the reference; None for the first of `REFERENCE_ORDER` that the case has.

    Raises:
        CohortError: with every problem of the case.
    """
    problems = list(case.problems)
    raw = dict(_read_images(case, problems))
    images = {modality: raw[role].image for role in raw if (modality := role.modality)}
    reference = _reference(case, wanted_reference, problems)
    texts = [f"{role}: {text}" for role, one in raw.items() for text in one.warnings]
    owners = {
        role: _owner(case, role, raw[role].image, images, reference, problems=problems)
        for role in raw
        if not role.modality
    }
    segmentation = brain_mask = None
    if owner := owners.get(RawRole.SEGMENTATION):
        segmentation = (owner, _labels(case, raw[RawRole.SEGMENTATION].image, problems, texts))
    if owner := owners.get(RawRole.BRAIN_MASK):
        brain_mask = (owner, sitk.Cast(raw[RawRole.BRAIN_MASK].image != 0, sitk.sitkUInt8))
    if problems or reference is None:
        raise CohortError(problems)
    if case.unknown:
        texts.append(f"{len(case.unknown)} images were not recognised and are not used")
    warnings = tuple(Finding.warning(FindingKind.FILE, case.case_id, None, text) for text in texts)
    return CaseInput(images, reference, segmentation=segmentation, brain_mask=brain_mask, warnings=warnings)


def _read_images(case: RawCase, problems: list[Finding]) -> Iterator[tuple[RawRole, RawImage]]:
    for role, source in case.sources.items():
        try:
            raw = read_raw_image(source)
        except InvalidImageError as error:
            problems.append(Finding.of(case.case_id, error))
            continue
        voxels = sitk.GetArrayViewFromImage(raw.image)
        if role is not RawRole.SEGMENTATION and voxels.min() == voxels.max():
            reason = f"is constant ({voxels.min():g}): there is no image in it"
            problems.append(Finding.error(case.case_id, source.path, reason, "replace the image or leave it out"))
            continue
        yield role, raw


def _reference(case: RawCase, wanted: Modality | None, problems: list[Finding]) -> Modality | None:
    available = [modality for role in case.sources if (modality := role.modality)]
    if wanted is None or wanted in available:
        return wanted or next((modality for modality in REFERENCE_ORDER if modality in available), None)
    reason = f"has no {wanted}, which was asked for as reference"
    problems.append(Finding.error(case.case_id, case.folder, reason, "choose another reference, or none"))
    return None


def _owner(
    case: RawCase,
    role: RawRole,
    image: sitk.Image,
    images: Mapping[Modality, sitk.Image],
    reference: Modality | None,
    *,
    problems: list[Finding],
) -> Modality | None:
    """Return the modality on whose grid a mask lies, the reference first; note a problem when there is none."""
    grid = Grid.of(image)
    owners = [modality for modality, one in images.items() if Grid.of(one).same_as(grid)]
    if owners:
        return reference if reference in owners else owners[0]
    if images:
        reason = "lies on the grid of no image of the case"
        path = case.sources[role].path
        problems.append(Finding.error(case.case_id, path, reason, "resample it onto the image it is for"))
    return None


def _labels(case: RawCase, image: sitk.Image, problems: list[Finding], texts: list[str]) -> sitk.Image:
    """Return labels as BraTS 2021 writes them, enhancing tumour 4; say so in a text when they are changed."""
    found = {float(value) for value in np.unique(sitk.GetArrayViewFromImage(image))}
    if not found <= _LABELS or found >= {_LATE_ENHANCING, _EARLY_ENHANCING}:
        shown = ", ".join(f"{value:g}" for value in sorted(found)[:8])
        path = case.sources[RawRole.SEGMENTATION].path
        problems.append(Finding.error(case.case_id, path, f"has labels {shown}", "map them to 0, 1, 2 and 4"))
    labels = sitk.Cast(image, sitk.sitkUInt8)
    if _LATE_ENHANCING in found:
        texts.append("seg: label 3 is written as 4, which is enhancing tumour in the names of BraTS 2021")
        labels = sitk.ChangeLabel(labels, {_LATE_ENHANCING: _EARLY_ENHANCING})
    return labels
