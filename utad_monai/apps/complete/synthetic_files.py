"""Volumes written on the grid of an image that exists: its affine and header bits, other voxels."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from utad_monai.apps.complete.provenance import SUFFIX, Provenance, is_synthetic
from utad_monai.errors import OutputError
from utad_monai.inferers import SyntheticVolume
from utad_monai.inferers.volume_translator import Volume
from utad_monai.keys import VoxelType
from utad_monai.models import file_sha256
from utad_monai.runtime.files import atomic_path, read_record, write_json
from utad_monai.transforms import InvalidImageError, from_lps, read_header

_logger = logging.getLogger(__name__)
_GZIP_LEVEL = 4
_FREE_TEXTS = {"data_type", "db_name", "aux_file", "intent_name", "unused_str"}
"""Fields of NIfTI-1 and NIfTI-2 beside `descrip` in which scanners and archives write names of people."""


Grid = str | Path | nibabel.Nifti1Header
"""A file whose header says where voxels lie, or such a header."""


def grid_header(affine: np.ndarray[Any, Any]) -> nibabel.Nifti1Header:
    """Return the header of a grid that no file describes: its affine, in mm."""
    header = nibabel.Nifti1Header()
    header.set_qform(affine, 1)
    header.set_sform(affine, 1)
    header.set_xyzt_units("mm")
    return header


def _header(like: Grid) -> nibabel.Nifti1Header:
    return like.copy() if isinstance(like, nibabel.Nifti1Header) else read_header(like)


def write_on_grid(path: str | Path, voxels: np.ndarray[Any, Any], like: Grid, header_text: str = "") -> Path:
    """Write voxels with another file's header; the same input gives the same bytes.

    What describes the other file's content does not go along: scaling, display range, extensions, free texts.

    Args:
        path: the `.nii.gz` to write.
        voxels: `(X, Y, Z)` or, for a 4-D file, `(X, Y, Z, N)`, in the voxel order of the other file.
        like: what gives header and affine; of a 4-D file the grid of one volume.
        header_text: for the header's `descrip` field.

    Returns:
        The path.
    """
    header = _header(like)
    header.set_data_dtype(voxels.dtype)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_min"], header["cal_max"] = 0, 0
    for name in _FREE_TEXTS & set(header.keys()):
        header[name] = b""
    header["descrip"] = header_text.encode()
    form: Any = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    return write_compressed(path, form(voxels, None, header).to_bytes())


def write_compressed(path: str | Path, content: bytes) -> Path:
    """Write gzip-compressed bytes atomically, without a time, so that the same content gives the same bytes."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(content, _GZIP_LEVEL, mtime=0))
    return Path(path)


UNCERTAINTY = "uncertainty"
"""Ending of the names of uncertainty volumes."""
_NARROW_WINDOW = 256
"""A target window with fewer intensity steps would lose detail as integers: float32 is written instead."""
_HASHES = "FileSha256"
_ENDING = ".nii.gz"


class SyntheticFiles:
    """The files of one modality that is made of one case.

    Args:
        folder: where they lie.
        provenance: where the image comes from.
    """

    def __init__(self, folder: str | Path, provenance: Provenance) -> None:
        stem = f"{provenance.case_id}_{provenance.target}"
        self.provenance = provenance
        self.image = Path(folder) / f"{stem}_{SUFFIX}.nii.gz"
        self.uncertainty = Path(folder) / f"{stem}_{UNCERTAINTY}.nii.gz"
        self.sidecar = Path(folder) / f"{stem}_{SUFFIX}.json"

    @classmethod
    def at(cls, image: str | Path, provenance: Provenance) -> SyntheticFiles:
        """Return the files of an image that somebody names; uncertainty and sidecar lie beside it.

        Raises:
            OutputError: when the name does not end in `.nii.gz`, or a file in its place was not made here.
        """
        path = Path(image)
        if not path.name.endswith(_ENDING) or path.name == _ENDING:
            raise OutputError(path, f"the name does not end in {_ENDING}", f"give it that ending, such as t2{_ENDING}")
        stem = path.name.removesuffix(_ENDING)
        files = cls(path.parent, provenance)
        files.image, files.sidecar = path, path.with_name(f"{stem}.json")
        files.uncertainty = path.with_name(f"{stem.removesuffix(f'_{SUFFIX}')}_{UNCERTAINTY}{_ENDING}")
        for file in (files.image, files.uncertainty, files.sidecar):
            if file.exists() and not _made_here(file):
                raise OutputError(file, "it is there already and is no synthetic image", "choose another name")
        return files

    def finished(self) -> dict[str, Any] | None:
        """Return the sidecar when the files are there, whole, and made of the same things in the same way."""
        content = read_record(self.sidecar)
        if content is None:
            return None
        try:
            same = content["Fingerprint"] == self.provenance.fingerprint and bool(content[_HASHES])
            whole = same and all(file_sha256(self.image.parent / n) == h for n, h in content[_HASHES].items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return content if whole else None

    def write(
        self, made: SyntheticVolume, like: Grid, dtype: VoxelType | str, extra: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write image, uncertainty and, last, the sidecar; the same input gives the same bytes.

        Args:
            made: the volumes.
            like: what gives header, affine and voxel order.
            dtype: how the image is stored; uncertainty is float32 always.
            extra: more entries for the sidecar.

        Returns:
            The sidecar's content.
        """
        text = self.provenance.header_text(made.sources)
        files = [write_volume(self.image, made.volume, like, text, dtype)]
        if made.uncertainty is not None:
            text = self.provenance.header_text(made.sources, f"{UNCERTAINTY} of")
            files.append(write_volume(self.uncertainty, made.uncertainty, like, text, VoxelType.FLOAT32))
        else:
            self.uncertainty.unlink(missing_ok=True)  # of other settings
        hashes = {_HASHES: {file.name: file_sha256(file) for file in files}}
        content = self.provenance.sidecar(made.weights) | dict(extra) | hashes
        write_json(self.sidecar, content)
        return content


def _made_here(file: Path) -> bool:
    """Tell whether a file that would be replaced is a synthetic image, or the sidecar of one."""
    if file.name.endswith(_ENDING):
        try:
            return is_synthetic(read_header(file))
        except InvalidImageError:
            return False
    return bool((read_record(file) or {}).get("Synthetic"))


def write_volume(
    path: Path, volume: Volume, like: Grid, header_text: str, dtype: VoxelType | str = VoxelType.INT16
) -> Path:
    """Write a volume on another image's grid; the same input gives the same bytes.

    Args:
        path: the `.nii.gz` to write.
        volume: `(X, Y, Z)` in LPS order, background 0.
        like: what gives header, affine and voxel order; of a 4-D file the grid of one volume.
        header_text: for the header's `descrip` field.
        dtype: how it is stored; a narrow range is stored as float32 always.

    Raises:
        ValueError: when `dtype` is unknown.
    """
    voxel_type = VoxelType(dtype)
    stored = from_lps(volume, _header(like).get_best_affine())
    if voxel_type is VoxelType.INT16 and np.ptp(stored) < _NARROW_WINDOW:
        _logger.warning("%s: written as float32, its intensity range is too narrow for int16", path)
        voxel_type = VoxelType.FLOAT32
    return write_on_grid(path, _as_type(stored, voxel_type), like, header_text)


def _as_type(volume: Volume, dtype: VoxelType) -> np.ndarray[Any, Any]:
    if dtype is VoxelType.FLOAT32:
        return volume.astype(np.float32)
    limits = np.iinfo(np.int16)
    if volume.max() > limits.max:
        _logger.warning("intensities above %d are clipped; write float32 to keep them", limits.max)
    rounded: np.ndarray[Any, Any] = np.rint(volume).clip(limits.min, limits.max).astype(np.int16)
    return rounded
