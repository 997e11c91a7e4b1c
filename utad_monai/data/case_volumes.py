"""The volumes of one case as its files hold them: read through the checked door, on one grid."""

from __future__ import annotations

from pathlib import Path

from monai.data import MetaTensor

from utad_monai.data.grid import agree_on_grid, file_of, in_lps, other_grids
from utad_monai.data.layouts import Case
from utad_monai.data.layouts.case import SEGMENTATION
from utad_monai.data.quality.finding import Finding
from utad_monai.keys import Modality
from utad_monai.transforms import InvalidImageError, LoadNifti
from utad_monai.transforms.load import WARNINGS

SMALLEST_BACKGROUND = 0.05
"""Share of a skull-stripped volume that is background at least; brains fill a quarter to a half of theirs."""


def load_volumes(case: Case) -> tuple[dict[Modality | str, MetaTensor], list[Finding]]:
    """Load the volumes of a case that can be read, in LPS voxel order, and report the others.

    Returns:
        `(1, X, Y, Z)` float32 volumes in file units by modality (and `SEGMENTATION`), and the problems: files that are
        refused, and volumes on another grid than the first one.
    """
    stored: dict[Modality | str, MetaTensor] = {}
    problems: list[Finding] = []
    for part, path in _parts(case).items():
        try:
            stored[part] = _load_stored(case, part) if isinstance(part, Modality) else LoadNifti()(path)
        except InvalidImageError as error:
            problems.append(Finding.of(case.case_id, error))
    volumes = {part: in_lps(volume) for part, volume in agree_on_grid(stored).items()}
    remedy = "co-register and resample the case to one grid"
    problems.extend(
        Finding.error(case.case_id, file_of(v), reason, remedy) for v, reason in other_grids(volumes.values())
    )
    return volumes, list(dict.fromkeys(problems))  # the channels of one file share its problems


def _parts(case: Case) -> dict[Modality | str, Path]:
    parts: dict[Modality | str, Path] = dict(case.images.items())
    return parts | ({SEGMENTATION: case.segmentation} if case.segmentation else {})


def load_image(case: Case, modality: Modality) -> MetaTensor:
    """Load one image of a case: `(1, X, Y, Z)` float32 in file units, in LPS voxel order.

    Raises:
        InvalidImageError: when the file is refused.
    """
    return in_lps(_load_stored(case, modality))


def load_stored_images(case: Case) -> dict[Modality, MetaTensor]:
    """Load the images of a case: `(1, X, Y, Z)` float32 in file units, each in the voxel order of its file.

    Raises:
        InvalidImageError: when a file is refused.
    """
    return agree_on_grid({modality: _load_stored(case, modality) for modality in case.images})


def _load_stored(case: Case, modality: Modality) -> MetaTensor:
    channel = case.channel(modality)
    channels = None if channel is None else len(case.layout.channels)
    return with_zero_background(LoadNifti()(case.images[modality], channel, channels))


def with_zero_background(image: MetaTensor) -> MetaTensor:
    """Return an image whose background is a negative constant with a background of 0, and say so in its warnings.

    Only the smallest value is replaced, when a good share of the voxels has it and hardly any is 0.

    Args:
        image: `(1, X, Y, Z)` in file units.
    """
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
