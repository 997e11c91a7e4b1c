"""Do the volumes of a case lie on one grid? Headers that say nothing sensible may follow those that do."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor

from utad_monai.errors import InvalidImageError
from utad_monai.transforms.load import PLACEMENT, WARNINGS, OrientLPS, file_of, refuse
from utad_monai.transforms.nifti_affine import Matrix, Placement

AFFINE_TOLERANCE_MM = 1e-2
"""Two volumes lie on the same grid when no entry of their affines differs by more."""
UNIT_POWERS = (3, 6, -3, -6)
"""Powers of ten between metres, millimetres, micrometres and nanometres."""
SMALLEST_OVERLAP = 0.8
"""A volume without a usable header belongs onto a grid when this share of the smaller foreground lies in the other."""

MIRRORED_GAIN = 0.02
"""A mirror image fits better when its overlap is larger by more than this."""

TO_ONE_GRID = "co-register and resample the case to one grid"
"""What to do about volumes that lie on different grids."""

_HEADER_FILE = "header_file"
Part = TypeVar("Part", bound=Hashable)


class CommonGridd(MapTransform):
    """Put volumes with doubtful headers onto the grid of the sound ones of their case (`agree_on_grid`)."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with each volume, in its file's voxel order, on the grid that it can only mean."""
        agreed = dict(data)
        return agreed | agree_on_grid({key: agreed[key] for key in self.key_iterator(agreed)})


class SameGridd(MapTransform):
    """Refuse volumes, in LPS order, that lie on another grid than most of their case (`other_grids`)."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary, with its problems; the volumes stay.

        Raises:
            InvalidImageError: when a volume lies elsewhere and the dictionary has no list of problems.
        """
        checked = dict(data)
        for volume, reason in other_grids([checked[key] for key in self.key_iterator(checked)]):
            refuse(checked, InvalidImageError(file_of(volume), reason, TO_ONE_GRID))
        return checked


def header_file_of(volume: MetaTensor) -> Path:
    """Return the file whose header describes a volume's grid best: its own, unless that one is doubtful."""
    return Path(volume.meta.get(_HEADER_FILE, file_of(volume)))


def in_lps(volume: MetaTensor) -> MetaTensor:
    """Return a volume in LPS voxel order."""
    oriented: MetaTensor = OrientLPS()(volume)  # type: ignore[assignment]  # of a MetaTensor it makes one
    return oriented


def grid_difference(reference: MetaTensor, volume: MetaTensor) -> str:
    """Return how the grid of a volume differs from another one's, both in LPS order; empty when it does not."""
    if volume.shape != reference.shape:
        return f"has another shape ({_sizes(volume)} voxels, not {_sizes(reference)})"
    if not torch.allclose(_spacing(volume), _spacing(reference), atol=AFFINE_TOLERANCE_MM):
        return "has another voxel spacing in its affine"
    if not torch.allclose(volume.affine, reference.affine, atol=AFFINE_TOLERANCE_MM):
        return "has another affine (origin or orientation)"
    return ""


def other_grids(volumes: Iterable[MetaTensor]) -> Iterator[tuple[MetaTensor, str]]:
    """Yield each volume, in LPS order, that lies on another grid than most, and how it differs."""
    every = list(volumes)
    if not every:
        return
    reference = max(every, key=lambda one: sum(not grid_difference(one, other) for other in every))
    for volume in every:
        if difference := grid_difference(reference, volume):
            yield volume, f"{difference} than {file_of(reference).name}"


def agree_on_grid(volumes: Mapping[Part, MetaTensor]) -> dict[Part, MetaTensor]:
    """Give volumes with doubtful headers the grid of the sound ones of their case, where that can only be meant.

    A header without sform and qform, with two that disagree, or with another unit of length says little. When all
    sound volumes of the case share one grid, shape and spacing (or one of the forms) fit it, and the foreground lies
    where theirs does, the volume is put there, with a warning. Everything else stays as it is.

    Args:
        volumes: `(1, X, Y, Z)` by part, in the voxel order of their files.
    """
    sound = [volume for volume in volumes.values() if not _placement(volume).warnings]
    if not sound or len(sound) == len(volumes):
        return dict(volumes)
    reference = in_lps(sound[0])
    if any(grid_difference(reference, in_lps(volume)) for volume in sound[1:]):
        return dict(volumes)
    return {part: v if any(v is s for s in sound) else _placed(v, sound[0]) for part, v in volumes.items()}


def _placed(volume: MetaTensor, sound: MetaTensor) -> MetaTensor:
    """Return a doubtful volume on the grid of a sound one, or as it is."""
    reference = in_lps(sound)
    if not grid_difference(reference, in_lps(volume)):
        return _with(volume, volume.affine, volume.meta[WARNINGS], sound)
    for affine, reading in _readings(volume, sound):
        candidate = _with(volume, affine, [*_other_warnings(volume), f"{reading} {file_of(sound).name}"], sound)
        oriented = in_lps(candidate)
        if not grid_difference(reference, oriented) and _lies_there(oriented, reference):
            return candidate
    return volume


def _readings(volume: MetaTensor, sound: MetaTensor) -> Iterator[tuple[Tensor, str]]:
    """Yield what else the header of a doubtful volume may mean, and how to say so; a file name follows."""
    placement = _placement(volume)
    if placement.other_affine is not None:
        text = "has a qform and an sform that disagree: the qform is used, which agrees with"
        yield torch.from_numpy(placement.other_affine), text
    if volume.shape != sound.shape:
        return
    ours, theirs = placement.affine, _placement(sound).affine
    if not placement.stated and np.allclose(_zooms(ours), _zooms(theirs), atol=AFFINE_TOLERANCE_MM):
        yield sound.affine, "has neither sform nor qform: its orientation and affine are taken from"
    if _same_but_for_unit(ours, theirs):
        text = f"has a voxel spacing of {_zooms(ours).tolist()} mm, which is another unit: it is taken from"
        yield sound.affine, text


def _same_but_for_unit(ours: Matrix, theirs: Matrix) -> bool:
    """Tell whether two affines differ by a power of ten, the origin of the first possibly unscaled or lost."""
    for power in UNIT_POWERS:
        scaled = ours * 10.0**power
        if np.allclose(scaled[:3, :3], theirs[:3, :3], atol=AFFINE_TOLERANCE_MM):
            origins = (ours[:3, 3], scaled[:3, 3])
            lost = not ours[:3, 3].any()
            return lost or any(np.allclose(origin, theirs[:3, 3], atol=AFFINE_TOLERANCE_MM) for origin in origins)
    return False


def _lies_there(volume: MetaTensor, reference: MetaTensor) -> bool:
    """Tell whether the foreground of a volume lies where that of another does, and no mirror image fits better."""
    ours, theirs = volume.as_tensor()[0] != 0, reference.as_tensor()[0] != 0
    here = overlap(ours, theirs)
    mirrored = [ours.flip(axes) for count in (1, 2, 3) for axes in combinations(range(3), count)]
    return here >= SMALLEST_OVERLAP and all(overlap(one, theirs) <= here + MIRRORED_GAIN for one in mirrored)


def overlap(first: Tensor, second: Tensor) -> float:
    """Return the share of the smaller of two masks of one shape that lies in the other; 1 when one is empty."""
    smaller = min(int(first.count_nonzero()), int(second.count_nonzero()))
    return int((first & second).count_nonzero()) / smaller if smaller else 1.0


def _with(volume: MetaTensor, affine: Tensor, warnings: list[str], sound: MetaTensor) -> MetaTensor:
    kept = {key: value for key, value in volume.meta.items() if key != "affine"}
    meta = kept | {WARNINGS: warnings, _HEADER_FILE: str(header_file_of(sound))}
    return MetaTensor(volume.as_tensor(), affine=affine.clone(), meta=meta)


def _other_warnings(volume: MetaTensor) -> list[str]:
    return [text for text in volume.meta[WARNINGS] if text not in _placement(volume).warnings]


def _placement(volume: MetaTensor) -> Placement:
    placement: Placement = volume.meta[PLACEMENT]
    return placement


def _zooms(affine: Matrix) -> Matrix:
    return np.array([math.sqrt(sum(column**2)) for column in affine[:3, :3].T])


def _sizes(volume: MetaTensor) -> str:
    return "x".join(str(size) for size in volume.shape[1:])


def _spacing(volume: MetaTensor) -> Tensor:
    return torch.as_tensor(volume.pixdim, dtype=torch.float64)
