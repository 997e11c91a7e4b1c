"""Whole volumes: file to slices, through the student, and back onto the file's own grid."""

from __future__ import annotations

import gzip
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch

from transforms import BACKGROUND, IntensityWindow, from_lps
from utad_monai.atomic import atomic_path, write_json
from utad_monai.checkpoints import CheckpointError, Translator
from utad_monai.data.layouts import Case
from utad_monai.data.preprocessing import LoadedCase, load_case
from utad_monai.inferers.slice_translator import SliceTranslator
from utad_monai.keys import Modality
from utad_monai.provenance import Provenance

_NARROW_WINDOW = 256
"""A target window with fewer intensity steps would lose detail as integers: float32 is written instead."""
_GZIP_LEVEL = 4

_logger = logging.getLogger(__name__)


class VolumeTranslator:
    """Make a missing modality of a case, in the source's grid and in the intensities of the training cohort.

    Args:
        translator: a mask-free student with its preprocessing and target windows.
        device: where to compute.
        batch_size: slices in one pass.

    Raises:
        CheckpointError: when the model is a teacher, which needs masks.
    """

    def __init__(self, translator: Translator, device: torch.device | str = "cpu", batch_size: int = 16) -> None:
        self.translator = translator
        self.slices = SliceTranslator(translator.generator, device, batch_size)
        if self.slices.needs_mask:
            raise CheckpointError("the model", "is a teacher and needs tumour masks", "give a student model")

    def load(self, case: Case) -> LoadedCase:
        """Load a case's images as the model needs them; its segmentation is not read.

        Raises:
            CohortError: with every problem of the case's images.
        """
        return load_case(replace(case, segmentation=None), self.translator.preprocessing)

    def translate(self, loaded: LoadedCase, source: Modality, target: Modality) -> np.ndarray[Any, Any]:
        """Return the target modality `(X, Y, Z)` float32 in LPS order, in file units, exactly 0 outside the brain.

        The intensity window is the median of the training cohort's: synthetic images look like the scanners that the
        model was trained on.

        Raises:
            CheckpointError: when the model never saw the target modality.
        """
        image = loaded.images[source].as_tensor()[0]
        frame = self.translator.preprocessing.frame
        translated = self.slices(frame.image_to_slices(image, loaded.placement), target)
        volume = frame.slices_to_image(translated, loaded.placement, image > BACKGROUND)
        restored = self._window(target).denormalise(volume).clamp_min(0)
        return np.asarray(restored.numpy(), dtype=np.float32)

    def _window(self, target: Modality) -> IntensityWindow:
        if target not in self.translator.target_windows:
            raise CheckpointError("the model", f"was trained without {target} images", "train it on a cohort with them")
        return self.translator.target_windows[target]


def write_synthetic(
    path: str | Path,
    volume: np.ndarray[Any, Any],
    source_file: str | Path,
    provenance: Provenance,
    dtype: str = "int16",
) -> Path:
    """Write a synthetic volume in its source's grid, with header mark and sidecar; the same input gives the same bytes.

    Args:
        path: the `.nii.gz` to write; the sidecar is the same name with `.json`.
        volume: `(X, Y, Z)` in LPS order, file units, background 0.
        source_file: the image that gives header, affine and voxel order.
        provenance: what the marks say.
        dtype: `int16` or `float32` on disk.

    Returns:
        The path of the image.

    Raises:
        ValueError: when `dtype` is neither.
    """
    if dtype not in ("int16", "float32"):
        raise ValueError(f"dtype must be int16 or float32, got {dtype!r}")
    path = Path(path)
    source: Any = nibabel.load(source_file)
    stored = from_lps(volume, source.affine)
    if dtype == "int16" and np.ptp(stored) < _NARROW_WINDOW:
        _logger.warning("%s: written as float32, its intensity range is too narrow for int16", path)
        dtype = "float32"
    image = type(source)(_as_type(stored, dtype), None, _header(source.header, provenance, dtype))
    content: bytes = image.to_bytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(content, _GZIP_LEVEL, mtime=0))
    write_json(path.with_name(path.name.removesuffix(".nii.gz") + ".json"), provenance.sidecar())
    return path


def _header(source: Any, provenance: Provenance, dtype: str) -> Any:
    """Return a copy of the source's header (affine bits and all) for the new voxels."""
    header = source.copy()
    header.extensions.clear()
    header.set_data_dtype(np.dtype(dtype))
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_min"], header["cal_max"] = 0, 0
    header["descrip"] = provenance.header_text.encode()
    return header


def _as_type(volume: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    if dtype == "float32":
        return volume.astype(np.float32)
    limits = np.iinfo(np.int16)
    if volume.max() > limits.max:
        _logger.warning("intensities above %d are clipped; write float32 to keep them", limits.max)
    rounded: np.ndarray[Any, Any] = np.rint(volume).clip(limits.min, limits.max).astype(np.int16)
    return rounded
