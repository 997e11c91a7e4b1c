"""Bring volumes into LPS voxel order, the way BraTS stores them, by MONAI's own orientation transform."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import Orientation, Orientationd
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

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
