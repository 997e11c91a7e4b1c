"""The report of a prepared case, with warnings of a preparation that may have gone wrong though every step ended."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk  # noqa: N813

from utad_monai import __version__
from utad_monai.apps.prepare.brain_mask import BrainMask, resolve_method
from utad_monai.apps.prepare.case_preparation import PreparedCase
from utad_monai.apps.prepare.geometry import displacement_mm, rotation_degrees
from utad_monai.apps.prepare.raw_cases import RawCase
from utad_monai.apps.prepare.registration import Registration
from utad_monai.apps.prepare.settings import BrainMaskMethod, PreparationSettings
from utad_monai.data.quality.finding import Finding, FindingKind
from utad_monai.data.quality.soundness import PREPARED_ML
from utad_monai.data.sequences import RawRole
from utad_monai.keys import Modality

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


MAX_ROTATION_DEGREES = 30.0
"""Heads turn less than this between two images of one visit."""
_MIN_COVERED = 0.99


def preparation_warnings(case_id: str, case: PreparedCase) -> Iterator[Finding]:
    """Yield what somebody should look at."""
    found = (
        (FindingKind.REGISTRATION, _registration_warnings(case.registrations)),
        (FindingKind.BRAIN, _mask_warnings(case.mask)),
        (FindingKind.COVERAGE, _coverage_warnings(case)),
    )
    for kind, texts in found:
        yield from (Finding.warning(kind, case_id, None, text) for text in texts)


def _registration_warnings(registrations: Mapping[Modality, Registration]) -> Iterator[str]:
    for modality, found in registrations.items():
        if not found.improved:
            yield f"{modality}: the registration found nothing better than the scanner's coordinates, which are kept"
        turned = rotation_degrees(found.matrix)
        if turned > MAX_ROTATION_DEGREES:
            yield f"{modality}: the registration turned the image by {turned:.0f} degrees: look at the picture"


def _mask_warnings(mask: BrainMask) -> Iterator[str]:
    if mask.method is BrainMaskMethod.NONE:
        yield "no brain mask: the skull stays, and later steps take every voxel that is not 0 for brain"
        return
    if mask.rough:
        yield "the brain mask is ROUGH (threshold and morphology): look at the picture, install HD-BET or SynthStrip"
    if not PREPARED_ML[0] <= mask.volume_ml <= PREPARED_ML[1]:
        yield f"the brain mask has {mask.volume_ml:.0f} ml: it is no whole brain, or more than one"


def _coverage_warnings(case: PreparedCase) -> Iterator[str]:
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


# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


_FORMAT = 1
"""Raised whenever the same input gives other images: finished cases of an older one are made anew."""
_DIGITS = 4


def fingerprint(case: RawCase, settings: PreparationSettings) -> str:
    """Return a hash of every raw byte and every choice that decide a case's result."""
    digest = hashlib.sha256(f"{_FORMAT} {settings.description()} {resolve_method(settings.brain_mask)}".encode())
    for role, source in sorted(case.sources.items()):
        digest.update(f"{role} {source.format}".encode())
        for path in source.files:
            digest.update(_content_hash(path))
    return digest.hexdigest()


def _content_hash(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:  # reading the image will say why
        return b"unreadable"


def describe_case(
    raw: RawCase, case: PreparedCase, settings: PreparationSettings, warnings: Sequence[Finding], digest: str
) -> dict[str, Any]:
    """Return the report of a case, without the list of its files.

    Args:
        raw: where it came from.
        case: the result.
        settings: the choices.
        warnings: of the images, when they were read.
        digest: the fingerprint.
    """
    return {
        "case": raw.case_id,
        "fingerprint": digest,
        "settings": settings.description(),
        "reference": str(case.reference),
        "images": {str(modality): _image(raw, case, modality) for modality in case.images},
        "brain_mask": {
            "method": str(case.mask.method),
            "rough": case.mask.rough,
            "skull_stays": case.mask.method is BrainMaskMethod.NONE,
            "volume_ml": round(case.mask.volume_ml, 1),
        },
        "segmentation": case.segmentation is not None,
        "prepared_grid": case.grid.description(),
        "warnings": [one.phrase for one in (*warnings, *preparation_warnings(raw.case_id, case))],
        "software": {
            "utad_monai": __version__,
            "SimpleITK": str(sitk.Version.VersionString()),
            "nibabel": nibabel.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _image(raw: RawCase, case: PreparedCase, modality: Modality) -> dict[str, Any]:
    source = raw.sources[RawRole(modality)]
    return {
        "format": str(source.format),
        "files": len(source.files),
        "acquisition": dict(source.series.acquisition) if source.series else {},
        "raw_grid": case.raw_grids[modality].description(),
        "skull_stripped": modality in case.stripped,
        "brain_in_field_of_view": round(case.covered[modality], _DIGITS),
        "registration": _registration(case, modality),
    }


def _registration(case: PreparedCase, modality: Modality) -> dict[str, Any] | None:
    found = case.registrations.get(modality)
    if found is None:
        return None
    before = found.information_before
    return {
        "mutual_information_before": None if before is None else round(before, _DIGITS),
        "mutual_information_after": round(found.information_after, _DIGITS),
        "start": found.start,
        "rotation_degrees": round(rotation_degrees(found.matrix), _DIGITS),
        "translation_mm": round(displacement_mm(found.matrix, case.raw_grids[case.reference].centre), _DIGITS),
        "improved": found.improved,
    }
