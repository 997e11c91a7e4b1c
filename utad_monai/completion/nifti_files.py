"""Volumes written on the grid of an image that exists: its affine and header bits, other voxels."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from transforms import read_header
from utad_monai.atomic import atomic_path

_GZIP_LEVEL = 4


def write_on_grid(path: str | Path, voxels: np.ndarray[Any, Any], like: str | Path, header_text: str = "") -> Path:
    """Write voxels with another file's header; the same input gives the same bytes.

    What describes the other file's content does not go along: scaling, display range, extensions, free texts.

    Args:
        path: the `.nii.gz` to write.
        voxels: `(X, Y, Z)` or, for a 4-D file, `(X, Y, Z, N)`, in the voxel order of the other file.
        like: the file that gives header and affine; of a 4-D file the grid of one volume.
        header_text: for the header's `descrip` field.

    Returns:
        The path.
    """
    header = read_header(like)
    header.set_data_dtype(voxels.dtype)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_min"], header["cal_max"] = 0, 0
    header["aux_file"] = b""
    header["descrip"] = header_text.encode()
    form: Any = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    return write_compressed(path, form(voxels, None, header).to_bytes())


def write_compressed(path: str | Path, content: bytes) -> Path:
    """Write gzip-compressed bytes atomically, without a time, so that the same content gives the same bytes."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(content, _GZIP_LEVEL, mtime=0))
    return Path(path)
