"""Where a NIfTI file says that its voxels lie, what is doubtful about it, and what else it may mean."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError

from utad_monai.errors import InvalidImageError

SPACING_RANGE_MM = (0.05, 20.0)
"""Spacings outside this range are doubtful: metres or micrometres taken for mm."""
FORM_TOLERANCE_MM = 1e-2
"""Two affines of one file agree when no entry differs by more."""
SHEAR_TOLERANCE = 1e-2
"""Largest cosine between two axes that counts as a right angle."""

Matrix = np.ndarray[Any, np.dtype[np.float64]]

_UNITS = {1: "metres", 3: "micrometres"}
"""Codes of `xyzt_units` for lengths that are not mm."""


@dataclass(frozen=True)
class Placement:
    """Where the voxels of a file lie.

    Attributes:
        affine: `(4, 4)` float64, voxel indices to RAS+ world mm.
        other_affine: the qform, where it disagrees with the sform that is used; None otherwise.
        stated: whether the file says where it lies; without sform and qform the affine is a guess.
        warnings: one phrase for each doubtful property.
    """

    affine: Matrix
    other_affine: Matrix | None
    _: KW_ONLY
    stated: bool
    warnings: tuple[str, ...]


def read_placement(path: Path, header: nibabel.Nifti1Header) -> Placement:
    """Return the usable affine of a header.

    Raises:
        InvalidImageError: when there is none: not finite, singular, or no spacing.
    """
    spacing = header["pixdim"][1:4].astype(float)
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if sform == 0 and (not np.isfinite(spacing).all() or (spacing <= 0).any()):
        raise InvalidImageError(path, f"has pixdim spacing {spacing.tolist()} and no sform")
    try:
        affine = header.get_best_affine()
    except (HeaderDataError, ValueError) as error:
        raise InvalidImageError(path, f"has an unusable affine ({error})") from error
    if not np.isfinite(affine).all():
        raise InvalidImageError(path, "has an affine that is not finite")
    if not _spans_space(affine):
        raise InvalidImageError(path, "has a singular affine: its orientation is unknown")
    agree = not (sform > 0 and qform > 0) or _same_forms(header)
    stated = sform != 0 or qform != 0
    warnings = _doubts(header, affine, stated, agree)
    return Placement(affine, None if agree else _sound_qform(header), stated=stated, warnings=tuple(warnings))


def _spans_space(affine: Matrix) -> bool:
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    return bool((zooms > 0).all()) and abs(np.linalg.det(affine[:3, :3] / zooms)) >= 1e-3


def _doubts(header: nibabel.Nifti1Header, affine: Matrix, stated: bool, agree: bool) -> list[str]:
    warnings = []
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    unit = _UNITS.get(int(header["xyzt_units"]) & 7)
    if not stated:
        warnings.append("has neither sform nor qform: its orientation is a guess")
    if _is_sheared(affine):
        warnings.append("has a sheared affine: its axes are not at right angles")
    if not agree:
        warnings.append("has a qform and an sform that disagree: the sform is used")
    if (zooms < SPACING_RANGE_MM[0]).any() or (zooms > SPACING_RANGE_MM[1]).any():
        warnings.append(f"has an unusual voxel spacing {zooms.tolist()} mm: check the unit")
    elif unit:
        warnings.append(f"says that its spacing {zooms.tolist()} is in {unit}: it is taken for mm")
    return warnings


def _is_sheared(affine: Matrix) -> bool:
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return not np.allclose(directions.T @ directions, np.eye(3), atol=SHEAR_TOLERANCE)


def _same_forms(header: nibabel.Nifti1Header) -> bool:
    try:
        return bool(np.allclose(header.get_sform(), header.get_qform(), atol=FORM_TOLERANCE_MM))
    except (HeaderDataError, ValueError):
        return False


def _sound_qform(header: nibabel.Nifti1Header) -> Matrix | None:
    try:
        qform: Matrix = header.get_qform()
    except (HeaderDataError, ValueError):
        return None
    return qform if np.isfinite(qform).all() and _spans_space(qform) else None
