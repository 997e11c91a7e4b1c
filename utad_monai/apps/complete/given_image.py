"""Images that are given in memory or as files: read as volumes, and answered in kind."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from utad_monai.apps.complete.provenance import SourceImage
from utad_monai.apps.complete.synthetic_files import Grid, grid_header
from utad_monai.keys import Modality
from utad_monai.models import file_sha256
from utad_monai.transforms import LoadNifti, from_lps
from utad_monai.transforms.grid import header_file_of

Array = np.ndarray[Any, Any]
Image = str | Path | Array | MetaTensor
"""A NIfTI file, an array `(X, Y, Z)` in LPS order, or a MetaTensor `(1, X, Y, Z)` or `(X, Y, Z)` with its affine."""


def as_volume(image: Image, spacing_mm: tuple[float, float, float]) -> MetaTensor:
    """Return an image as `(1, X, Y, Z)` float32 with its affine.

    Args:
        image: the image.
        spacing_mm: voxel size of an array; files and MetaTensors bring theirs.

    Raises:
        InvalidImageError: when the file is refused.
        ValueError: when the image is not a volume.
    """
    if isinstance(image, str | Path):
        return LoadNifti()(image)
    given = image if isinstance(image, torch.Tensor) else np.ascontiguousarray(image)  # torch knows no negative strides
    tensor = torch.as_tensor(given).to(torch.float32)
    tensor = tensor[None] if tensor.ndim == 3 else tensor
    if tensor.ndim != 4 or len(tensor) != 1:
        raise ValueError(f"an image must be (X, Y, Z) or (1, X, Y, Z), got shape {tuple(np.shape(image))}")
    if isinstance(image, MetaTensor):
        return MetaTensor(tensor, affine=image.affine)
    x, y, z = spacing_mm
    return MetaTensor(tensor, affine=torch.diag(torch.tensor([-x, -y, z, 1.0], dtype=torch.float64)))


def like_given(image: Image, volume: MetaTensor, made: Array) -> Array | MetaTensor:
    """Return a volume in LPS order in the voxel order, shape and kind of the image that it was made from.

    Args:
        image: that image as it was given.
        volume: that image as a volume (`as_volume`).
        made: `(X, Y, Z)` in LPS order.
    """
    stored = np.ascontiguousarray(from_lps(made, np.asarray(volume.affine)))
    if isinstance(image, str | Path):
        return MetaTensor(torch.from_numpy(stored)[None], affine=volume.affine)
    shaped = stored.reshape(np.shape(image))
    return MetaTensor(torch.from_numpy(shaped), affine=image.affine) if isinstance(image, MetaTensor) else shaped


def source_image(modality: Modality, image: Image) -> SourceImage:
    """Return what a sidecar says of a source; one that came from no file is known by the hash of its voxels."""
    if isinstance(image, str | Path):
        return SourceImage(modality, Path(image).name, sha256=file_sha256(image))
    voxels = np.ascontiguousarray(image, dtype=np.float32)
    return SourceImage(modality, f"{modality} in memory", sha256=hashlib.sha256(voxels.tobytes()).hexdigest())


def grid_of(image: Image, volume: MetaTensor) -> Grid:
    """Return what gives a file the grid of an image: its own header, or of an image in memory a new one."""
    return header_file_of(volume) if isinstance(image, str | Path) else grid_header(np.asarray(volume.affine))
