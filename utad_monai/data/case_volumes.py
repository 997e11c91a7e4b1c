"""A case as the dictionary that MONAI transforms take, and its volumes as its files hold them, on one grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.data import MetaTensor
from monai.transforms import Compose

from utad_monai.data.layouts import Case
from utad_monai.data.layouts.case import SEGMENTATION
from utad_monai.data.quality.finding import Finding
from utad_monai.keys import FOUR_MODALITIES, Modality
from utad_monai.transforms import CommonGridd, LoadNiftid, OrientLPSd, SameGridd, ZeroBackgroundd
from utad_monai.transforms.labels import LABEL_MEANINGS
from utad_monai.transforms.load import PROBLEMS, ChannelFile

_STORED = 3
"""Number of `loading_transforms` that leave volumes in the voxel order of their files."""


def loading_transforms(images: Sequence[str] = FOUR_MODALITIES, segmentation: str = SEGMENTATION) -> list[Any]:
    """Return what turns the files of a case into `(1, X, Y, Z)` volumes in LPS voxel order, on one grid."""
    every = [*images, segmentation]
    return [
        LoadNiftid(every, allow_missing_keys=True),
        ZeroBackgroundd(images, allow_missing_keys=True),
        CommonGridd(every, allow_missing_keys=True),
        OrientLPSd(every, allow_missing_keys=True),
        SameGridd(every, allow_missing_keys=True),
    ]


def case_dictionary(case: Case, parts: Sequence[str] | None = None) -> dict[Hashable, Any]:
    """Return the files of a case by part, what its labels mean, and an empty list of problems.

    Args:
        case: the case.
        parts: modalities, and `seg` for the segmentation; what the case lacks is left out. Everything when None.
    """
    parts = (*case.modalities, SEGMENTATION) if parts is None else parts
    files: dict[Hashable, Any] = {m: _file(case, m) for m in case.images if m in parts}
    if case.segmentation and SEGMENTATION in parts:
        files[SEGMENTATION] = case.segmentation
    return files | {LABEL_MEANINGS: case.labels, PROBLEMS: []}


def run_transforms(
    transforms: Compose, data: Mapping[Any, Any], start: int = 0, end: int | None = None
) -> dict[Hashable, Any]:
    """Run some of the transforms of a `Compose` on a dictionary; what one of them raises comes out as it is."""
    try:
        changed: dict[Hashable, Any] = transforms(data, start=start, end=end)
    except RuntimeError as error:  # MONAI's own, around the transform's
        raise error.__cause__ or error from None
    return changed


def _file(case: Case, modality: Modality) -> ChannelFile:
    channel = case.channel(modality)
    return ChannelFile(case.images[modality], channel, None if channel is None else len(case.layout.channels))


def load_volumes(case: Case) -> tuple[dict[Modality | str, MetaTensor], list[Finding]]:
    """Load the volumes of a case that can be read, in LPS voxel order, and report the others.

    Returns:
        `(1, X, Y, Z)` float32 volumes in file units by modality (and `SEGMENTATION`), and the problems: files that are
        refused, and volumes on another grid than the first one.
    """
    loaded = run_transforms(Compose(loading_transforms(case.modalities)), case_dictionary(case))
    problems = [Finding.of(case.case_id, error) for error in loaded[PROBLEMS]]
    volumes = {part: loaded[part] for part in (*case.images, SEGMENTATION) if part in loaded}
    return volumes, list(dict.fromkeys(problems))  # the channels of one file share its problems


def load_image(case: Case, modality: Modality) -> MetaTensor:
    """Load one image of a case: `(1, X, Y, Z)` float32 in file units, in LPS voxel order.

    Raises:
        InvalidImageError: when the file is refused.
    """
    return _loaded(case, [modality])[modality]


def load_stored_images(case: Case) -> dict[Modality, MetaTensor]:
    """Load the images of a case: `(1, X, Y, Z)` float32 in file units, each in the voxel order of its file.

    Raises:
        InvalidImageError: when a file is refused.
    """
    return _loaded(case, list(case.images), end=_STORED)


def _loaded(case: Case, modalities: Sequence[Modality], end: int | None = None) -> dict[Modality, MetaTensor]:
    transforms = Compose(loading_transforms(case.modalities))
    loaded = run_transforms(transforms, case_dictionary(case, modalities), end=end)
    for error in loaded[PROBLEMS]:
        raise error
    return {modality: loaded[modality] for modality in modalities}
