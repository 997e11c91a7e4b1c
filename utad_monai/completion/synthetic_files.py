"""Synthetic volumes on disk: on their source's grid to the bit, marked, and finished or not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from transforms import from_lps, read_header
from utad_monai.atomic import write_json
from utad_monai.checkpoints import file_sha256
from utad_monai.completion.nifti_files import write_on_grid
from utad_monai.inferers import SyntheticVolume
from utad_monai.inferers.volume_translator import Volume
from utad_monai.keys import VoxelType
from utad_monai.provenance import SUFFIX, Provenance
from utad_monai.records import read_record

UNCERTAINTY = "uncertainty"
"""Ending of the names of uncertainty volumes."""
_NARROW_WINDOW = 256
"""A target window with fewer intensity steps would lose detail as integers: float32 is written instead."""
_HASHES = "FileSha256"

_logger = logging.getLogger(__name__)


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
        self, made: SyntheticVolume, like: str | Path, dtype: VoxelType | str, extra: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write image, uncertainty and, last, the sidecar; the same input gives the same bytes.

        Args:
            made: the volumes.
            like: the image that gives header, affine and voxel order.
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


def write_volume(
    path: Path, volume: Volume, like: str | Path, header_text: str, dtype: VoxelType | str = VoxelType.INT16
) -> Path:
    """Write a volume on another image's grid; the same input gives the same bytes.

    Args:
        path: the `.nii.gz` to write.
        volume: `(X, Y, Z)` in LPS order, background 0.
        like: the image that gives header, affine and voxel order; of a 4-D file the grid of one volume.
        header_text: for the header's `descrip` field.
        dtype: how it is stored; a narrow range is stored as float32 always.

    Raises:
        ValueError: when `dtype` is unknown.
    """
    voxel_type = VoxelType(dtype)
    stored = from_lps(volume, read_header(like).get_best_affine())
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
