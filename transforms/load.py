"""Load a NIfTI volume through the checked door, as a MetaTensor."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Orientation, Orientationd, Transform
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

from utad_monai.errors import InvalidImageError
from utad_monai.transforms.nifti import read_nifti

_LPS = "LPS"
_AXIS_ENDS = (("L", "R"), ("P", "A"), ("I", "S"))
"""Names of the negative and positive end of each axis of nibabel's RAS+ world."""


class OrientLPS(Orientation):
    """Flip and permute `(C, X, Y, Z)` so that x grows to the left, y to posterior, z to superior; invertible.

    See `monai.transforms.Orientation`.
    """

    def __init__(self) -> None:
        super().__init__(axcodes=_LPS, labels=_AXIS_ENDS)


class OrientLPSd(Orientationd):
    """Dictionary version of `OrientLPS`."""

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, axcodes=_LPS, labels=_AXIS_ENDS, allow_missing_keys=allow_missing_keys)


def from_lps(array: np.ndarray[Any, Any], stored_affine: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Bring an LPS-ordered array `(X, Y, Z)` back into the voxel order of a file.

    Args:
        array: in the order that `OrientLPS` gives.
        stored_affine: `(4, 4)` affine of the file, voxel indices to RAS+ world mm.

    Returns:
        The same voxels in the file's own axis order and directions.
    """
    stored, lps = io_orientation(stored_affine), axcodes2ornt(tuple(_LPS))
    restored: np.ndarray[Any, Any] = apply_orientation(array, ornt_transform(lps, stored))
    return restored


WARNINGS = "warnings"
"""Meta key of the phrases that describe what was doubtful about a file."""
PLACEMENT = "placement"
"""Meta key of where the file says that its voxels lie (`utad_monai.transforms.nifti_affine.Placement`)."""
ORIENTATION = "stored_orientation"
"""Meta key of the directions in which the file's voxel axes grow, such as `LPS`."""
CHANNEL = "channel"
"""Meta key of the volume's place in a 4-D file; None of a 3-D file."""
PROBLEMS = "problems"
"""Key of a case's dictionary whose list takes each refused file as an `InvalidImageError`; without it one is raised."""
SMALLEST_BACKGROUND = 0.05
"""Share of a skull-stripped volume that is background at least; brains fill a quarter to a half of theirs."""


class ChannelFile(NamedTuple):
    """One volume of a 4-D file, as `LoadNiftid` takes it in place of a path; the fields are those of `LoadNifti`."""

    path: Path
    channel: int | None = None
    channel_count: int | None = None


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
            CHANNEL: channel,
        }
        image = torch.from_numpy(volume.array)[None]
        return MetaTensor(image, affine=torch.from_numpy(volume.affine), meta=meta)


class LoadNiftid(MapTransform):
    """Dictionary version of `LoadNifti`: a key holds a path or `ChannelFile`, and becomes a `(1, X, Y, Z)` MetaTensor.

    A file that is refused goes to `PROBLEMS` where the dictionary has that list, and its key is dropped.
    """

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
            source = loaded[key]
            try:
                loaded[key] = self.loader(*source) if isinstance(source, ChannelFile) else self.loader(source)
            except InvalidImageError as error:
                refuse(loaded, error, key)
        return loaded


class ZeroBackground(Transform):
    """Give an image whose background is a negative constant a background of 0, and say so in its warnings.

    Only the smallest value is replaced, when a good share of the voxels has it and hardly any is 0.
    """

    def __call__(self, image: MetaTensor) -> MetaTensor:
        """Return an image `(1, X, Y, Z)` in file units with a background of 0, or as it is."""
        lowest = float(image.numpy().min())  # in the file's voxel order, where torch's reduction is ten times slower
        if lowest >= 0:
            return image
        voxels = image.as_tensor()
        background, smallest = voxels == lowest, SMALLEST_BACKGROUND * voxels.numel()
        if int(background.count_nonzero()) < smallest or voxels.numel() - int(voxels.count_nonzero()) >= smallest:
            return image
        text = f"has a background of {lowest:g}, which is taken for 0"
        meta = {key: value for key, value in image.meta.items() if key != "affine"}
        meta[WARNINGS] = [*meta[WARNINGS], text]
        return MetaTensor(voxels.masked_fill(background, 0), affine=image.affine, meta=meta)


class ZeroBackgroundd(MapTransform):
    """Dictionary version of `ZeroBackground`."""

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.zero_background = ZeroBackground()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Give each key's image a background of 0."""
        changed = dict(data)
        for key in self.key_iterator(changed):
            changed[key] = self.zero_background(changed[key])
        return changed


def file_of(volume: MetaTensor) -> Path:
    """Return the file that a volume was loaded from."""
    return Path(volume.meta["filename_or_obj"])


def refuse(data: dict[Hashable, Any], error: InvalidImageError, key: Hashable = None) -> None:
    """Put an error into the dictionary's list of problems, and drop the key that it is about.

    Raises:
        InvalidImageError: the error, where the dictionary has no such list.
    """
    if PROBLEMS not in data:
        raise error
    data[PROBLEMS] = [*data[PROBLEMS], error]
    data.pop(key, None)
