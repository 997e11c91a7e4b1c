"""What a preparation says about a case: plain data, without names, dates or paths of the raw files."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk  # noqa: N813

from utad_monai import __version__
from utad_monai.keys import Modality
from utad_monai.preparation.brain_mask import resolve_method
from utad_monai.preparation.case_preparation import PreparedCase
from utad_monai.preparation.raw_cases import RawCase
from utad_monai.preparation.rigid import displacement_mm, rotation_degrees
from utad_monai.preparation.settings import BrainMaskMethod, PreparationSettings, RawRole
from utad_monai.preparation.warning_signs import warning_signs

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
    raw: RawCase, case: PreparedCase, settings: PreparationSettings, warnings: tuple[str, ...], digest: str
) -> dict[str, Any]:
    """Return the report of a case, without the list of its files.

    Args:
        raw: where it came from.
        case: the result.
        settings: the choices.
        warnings: what was doubtful when the images were read.
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
        "warnings": [*warnings, *warning_signs(case)],
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
