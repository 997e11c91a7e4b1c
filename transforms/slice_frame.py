"""Axial slices of a volume in a fixed frame around the brain, and back onto the volume's own grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import reduce
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, generate_spatial_bounding_box
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional

from utad_monai.transforms.labels import regions_to_labels
from utad_monai.transforms.normalise import BACKGROUND, BRAIN_FLOOR

BRAIN, FRAME, FRAME_PLACEMENT, FIRST_SLICE = "brain", "frame", "frame_placement", "first_slice"
"""Keys of a case's dictionary: its brain, its frame and where that lies, and the axial index of its first slice."""
_COVERED = 0.5
"""A resized pixel is brain (or region) when at least this share of it is."""
_SLICES_AT_ONCE = 16
"""Slices that are resized together: a few megabytes at a time."""


@dataclass(frozen=True)
class FramePlacement:
    """Where the frame lies in one volume.

    Attributes:
        plane_shape: voxels of an axial slice, (rows along y, columns along x).
        start: first row and column of the frame, in voxels; negative where the frame leaves the volume.
        size: rows and columns of the frame, in voxels of the volume.
    """

    plane_shape: tuple[int, int]
    start: tuple[int, int]
    _: KW_ONLY
    size: tuple[int, int]

    def cuts(self, brain: Tensor) -> bool:
        """Tell whether some of a brain mask `(X, Y, Z)` lies outside the frame."""
        rows, columns = (slice(max(0, s), max(0, s + n)) for s, n in zip(self.start, self.size, strict=True))
        return bool(brain.count_nonzero() > brain[columns, rows].count_nonzero())


@dataclass(frozen=True)
class SliceFrame:
    """A fixed field of view in mm, sampled with a fixed number of pixels.

    Volumes are in LPS voxel order `(X, Y, Z)`; slices are `(Z, H, W)` with rows along y (anterior on top) and columns
    along x (radiological view). The frame is centred on the brain, so that less of a slice is background: the network
    sees the same share of it in training and at inference, whatever the matrix of the scan.

    Args:
        size_mm: height and width of the frame in mm.
        image_size: height and width in pixels.
    """

    size_mm: tuple[float, float]
    image_size: tuple[int, int]

    def place(self, brain: Tensor, spacing: Sequence[float]) -> FramePlacement:
        """Centre the frame on a brain mask `(X, Y, Z)`; `spacing` is (x, y, z) in mm.

        Raises:
            ValueError: when the mask is empty.
        """
        if not bool(brain.any()):
            raise ValueError("has no brain to centre the frame on")
        start, end = generate_spatial_bounding_box(brain[None])
        size = tuple(max(1, round(mm / spacing[axis])) for mm, axis in zip(self.size_mm, (1, 0), strict=True))
        first = tuple((start[axis] + end[axis] - n) // 2 for n, axis in zip(size, (1, 0), strict=True))
        return FramePlacement((brain.shape[1], brain.shape[0]), first, size=size)  # type: ignore[arg-type]

    def image_to_slices(self, image: Tensor, placement: FramePlacement) -> Tensor:
        """Sample a normalised volume `(X, Y, Z)` in [-1, 1] as slices `(Z, H, W)`, background exactly -1.

        Only brain voxels are averaged, so the brain's edge is not darkened by the background beside it.
        """
        return torch.cat(
            [_resize_brain(_cut(part, placement, BACKGROUND), self.image_size) for part in _in_parts(image)]
        )

    def regions_to_slices(self, regions: Tensor, placement: FramePlacement) -> Tensor:
        """Sample binary regions `(C, X, Y, Z)` as `(C, Z, H, W)`, 1 where at least half of a pixel is inside."""
        parts = [torch.stack([_cut(region, placement, 0.0) for region in part]) for part in _in_parts(regions)]
        return torch.cat([_resize(part, self.image_size) >= _COVERED for part in parts], dim=1).to(regions.dtype)

    def slices_to_image(self, slices: Tensor, placement: FramePlacement, brain: Tensor) -> Tensor:
        """Bring slices `(Z, H, W)` in [-1, 1] back onto the volume's grid, `(X, Y, Z)`.

        Args:
            slices: normalised slices in the frame.
            placement: as given by `place` for this volume.
            brain: `(X, Y, Z)` bool; the result is brain exactly there and -1 elsewhere.
        """
        framed = _resize_brain(slices, placement.size, covered=1e-3)
        planes = _paste(framed, placement)
        return _fill_brain(planes.permute(2, 1, 0).contiguous(), brain)


class PlaceFramed(MapTransform):
    """Place one frame around the brain of a case: `BRAIN`, `FRAME` and `FRAME_PLACEMENT` are added to its dictionary.

    Args:
        keys: normalised images `(1, X, Y, Z)` on one grid, in LPS voxel order; one of them at least.
        frame_size_mm: height (anterior-posterior) and width (left-right) of the frame.
        image_size: height and width of a slice in pixels.
        allow_missing_keys: whether absent keys are skipped.
    """

    def __init__(
        self,
        keys: KeysCollection,
        frame_size_mm: Sequence[float],
        *,
        image_size: Sequence[int],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.frame = SliceFrame((frame_size_mm[0], frame_size_mm[1]), (image_size[0], image_size[1]))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add `BRAIN`, `(X, Y, Z)` bool, what is brain in any image, the `SliceFrame` and its `FramePlacement`.

        Raises:
            ValueError: when no voxel is brain.
        """
        placed = dict(data)
        images = [placed[key] for key in self.key_iterator(placed)]
        brain = reduce(torch.logical_or, (image.as_tensor()[0] > BACKGROUND for image in images))
        spacing = [float(size) for size in images[0].pixdim]
        return placed | {BRAIN: brain, FRAME: self.frame, FRAME_PLACEMENT: self.frame.place(brain, spacing)}


class CutSlicesd(MapTransform):
    """Sample a case in its frame as axial slices, from the first to the last that holds brain; `FIRST_SLICE` is added.

    Args:
        keys: normalised images `(1, X, Y, Z)`, which become `(Z, H, W)`.
        region_key: tumour regions `(3, X, Y, Z)`, which become canonical labels `(Z, H, W)` uint8; may be absent.
        allow_missing_keys: whether absent keys are skipped.
    """

    def __init__(self, keys: KeysCollection, region_key: str, *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.region_key = region_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with slices in the place of volumes."""
        cut = dict(data)
        keys, frame = list(self.key_iterator(cut)), cut[FRAME]
        images = [frame.image_to_slices(cut[key].as_tensor()[0], cut[FRAME_PLACEMENT]) for key in keys]
        occupied = reduce(torch.logical_or, ((image > BACKGROUND).flatten(1).any(dim=1) for image in images))
        indices = occupied.nonzero().flatten()
        first, last = int(indices[0]), int(indices[-1]) + 1
        cut |= {key: image[first:last] for key, image in zip(keys, images, strict=True)}
        if self.region_key in cut:
            regions = frame.regions_to_slices(cut[self.region_key], cut[FRAME_PLACEMENT])
            cut[self.region_key] = regions_to_labels(regions)[0, first:last]
        return cut | {FIRST_SLICE: first}


def _in_parts(volume: Tensor) -> Sequence[Tensor]:
    """Return `(..., Z)` as views of a few slices each, whose intermediate results fit into the processor's cache."""
    parts: Sequence[Tensor] = volume.split(_SLICES_AT_ONCE, dim=-1)
    return parts


def _cut(volume: Tensor, placement: FramePlacement, fill: float) -> Tensor:
    """Cut the frame out of `(X, Y, Z)`, as `(Z, rows, columns)`, filling what lies outside the volume."""
    planes = volume.permute(2, 1, 0).to(torch.float32)
    framed = planes.new_full((planes.shape[0], *placement.size), fill)
    (rows, framed_rows), (columns, framed_columns) = _overlaps(placement)
    framed[:, framed_rows, framed_columns] = planes[:, rows, columns]
    return framed


def _paste(framed: Tensor, placement: FramePlacement) -> Tensor:
    planes = framed.new_full((framed.shape[0], *placement.plane_shape), BACKGROUND)
    (rows, framed_rows), (columns, framed_columns) = _overlaps(placement)
    planes[:, rows, columns] = framed[:, framed_rows, framed_columns]
    return planes


def _overlaps(placement: FramePlacement) -> list[tuple[slice, slice]]:
    """Return, for rows and columns, the overlap of frame and volume in both index systems."""
    overlaps = []
    for extent, start, size in zip(placement.plane_shape, placement.start, placement.size, strict=True):
        first, last = max(0, start), max(0, min(extent, start + size))
        overlaps.append((slice(first, last), slice(first - start, last - start)))
    return overlaps


def _resize(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize `(C, Z, H, W)` bilinearly, averaging when it shrinks; the same size is returned untouched."""
    if tuple(planes.shape[-2:]) == tuple(size):
        return planes
    return functional.interpolate(planes, size=size, mode="bilinear", antialias=True, align_corners=False)


def _resize_brain(planes: Tensor, size: tuple[int, int], covered: float = _COVERED) -> Tensor:
    """Resize `(Z, H, W)` as the mean of its brain pixels; a result pixel is brain when `covered` of it is."""
    brain = (planes > BACKGROUND).to(planes.dtype)
    resized = _resize(torch.stack([(planes - BACKGROUND) * brain, brain]), size)
    share = resized[1]
    mean = (resized[0] / share.clamp_min(1e-6) + BACKGROUND).clamp(BRAIN_FLOOR, 1.0)
    return torch.where(share >= covered, mean, torch.full_like(mean, BACKGROUND))


def _fill_brain(image: Tensor, brain: Tensor) -> Tensor:
    """Give every brain voxel a value (its nearest painted neighbour's where none is), and nothing else."""
    missing = brain & (image <= BACKGROUND)
    painted = image > BACKGROUND
    if bool(missing.any()) and bool(painted.any()):
        nearest = distance_transform_edt(~painted.numpy(), return_distances=False, return_indices=True)
        image = torch.where(missing, image[tuple(torch.from_numpy(index) for index in nearest)], image)
    return torch.where(brain, image.clamp_min(BRAIN_FLOOR), torch.full_like(image, BACKGROUND))
