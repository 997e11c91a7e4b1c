"""Load a NIfTI volume through the checked door, as a MetaTensor."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from utad_monai.transforms.nifti import read_nifti

WARNINGS = "warnings"
"""Meta key of the phrases that describe what was doubtful about a file."""
PLACEMENT = "placement"
"""Meta key of where the file says that its voxels lie (`utad_monai.transforms.nifti_affine.Placement`)."""
ORIENTATION = "stored_orientation"
"""Meta key of the directions in which the file's voxel axes grow, such as `LPS`."""


class LoadNifti(Transform):
    """Read one `.nii` or `.nii.gz` file with every check of `utad_monai.transforms.nifti.read_nifti`."""

    def __call__(self, path: str | Path, channel: int | None = None, channel_count: int | None = None) -> MetaTensor:
        """Return the volume as `(1, X, Y, Z)` float32 in file units, with `affine` and `filename_or_obj` in its meta.

        Args:
            path: the file.
            channel: which volume of a 4-D file, from 0 on; None for a 3-D file.
            channel_count: how many volumes the 4-D file must hold; None for any number.

        Raises:
            InvalidImageError: when the file is not a sound NIfTI volume, or lacks the channel.
        """
        volume = read_nifti(path, channel, channel_count)
        orientation = "".join(str(end) for end in nibabel.aff2axcodes(volume.affine))
        meta = {
            "filename_or_obj": str(path),
            WARNINGS: list(volume.warnings),
            PLACEMENT: volume.placement,
            ORIENTATION: orientation,
        }
        image = torch.from_numpy(volume.array)[None]
        return MetaTensor(image, affine=torch.from_numpy(volume.affine), meta=meta)


class LoadNiftid(MapTransform):
    """Dictionary version of `LoadNifti`: every key holds a path and becomes a `(1, X, Y, Z)` MetaTensor."""

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.loader = LoadNifti()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load each key's file.

        Raises:
            InvalidImageError: when a file is not a sound 3-D NIfTI volume.
        """
        loaded = dict(data)
        for key in self.key_iterator(loaded):
            loaded[key] = self.loader(loaded[key])
        return loaded
