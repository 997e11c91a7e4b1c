"""A frame that holds the brains of a cohort with a little room: the same pixels of brain, and less background.

InstanceNorm sees the background, so the box is one for the whole cohort, kept in the output folder, and stored with
every model as part of its preprocessing: training and inference agree. The room holds larger brains of later patients,
and keeps the networks as good as in the whole frame (`docs/performance.md`).
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from monai.transforms import Compose, generate_spatial_bounding_box

from utad_monai.data.layouts import Case, look_for_cases
from utad_monai.data.preprocessing import Preprocessing, load_case
from utad_monai.data.quality.finding import CohortError
from utad_monai.runtime.files import write_json
from utad_monai.runtime.workers import map_in_threads

BRAIN_BOX_FILE = "brain_box.json"
"""Name of the box in an output folder."""
_SIZE_DIVISOR = 16
"""Networks take heights and widths that are multiples of it."""
_MIN_PIXELS = 32
ROOM_MM = 10.0
"""Room that is left on each side of the largest brain."""
_FRAME, _IMAGE = "frame_size_mm", "image_size"

_logger = logging.getLogger(__name__)


def fit_to_brains(
    preprocessing: Preprocessing | Compose,
    dataset_dir: str | Path,
    output_dir: str | Path,
    brain_box: bool = True,
    room_mm: float = ROOM_MM,
    *,
    workers: int | None = None,
    label_set: str | Path = "",
) -> Preprocessing:
    """Return a preprocessing whose frame is the brain box of a cohort, with pixels of the same size.

    Args:
        preprocessing: its frame and image size tell the size of a pixel; the box is never larger. A chain of
            transforms, as bundles write it, is read by `Preprocessing.of`.
        dataset_dir: the cohort.
        output_dir: keeps the box in `brain_box.json`; what is there wins, so that every stage sees the same.
        brain_box: whether to do it; otherwise the preprocessing is returned as it is.
        room_mm: left on each side of the largest brain; 0 is the tight box.
        workers: cases measured at a time, by default one per processor.
        label_set: what segmentations mean, as in `look_for_cases`.

    Raises:
        CohortError: when the cohort is missing, or no case of it can be read.
        ValueError: when the room is negative or not finite, or models could not repeat the chain of transforms.
    """
    if isinstance(preprocessing, Compose):
        preprocessing = Preprocessing.of(preprocessing)
    if not brain_box:
        return preprocessing
    path = Path(output_dir) / BRAIN_BOX_FILE
    if not path.is_file():
        image_size = _box(preprocessing, dataset_dir, room_mm, workers or os.cpu_count() or 1, label_set=label_set)
        frame = [size * mm for size, mm in zip(image_size, preprocessing.pixel_mm, strict=True)]
        write_json(path, {_FRAME: frame, _IMAGE: list(image_size)})
    box = json.loads(path.read_text(encoding="utf-8"))
    fitted = replace(preprocessing, frame_size_mm=tuple(box[_FRAME]), image_size=tuple(box[_IMAGE]))
    _logger.info("brain box: %s mm, %s pixels (%s)", fitted.frame_size_mm, fitted.image_size, path)
    return fitted


def box_pixels(
    extents_mm: Iterable[tuple[float, float]],
    pixel_mm: tuple[float, float],
    largest: tuple[int, int],
    room_mm: float = ROOM_MM,
) -> tuple[int, int]:
    """Return the least height and width in pixels, multiples of 16, that hold all brains with the room.

    Args:
        extents_mm: height (anterior-posterior) and width (left-right) of each brain.
        pixel_mm: height and width of a pixel.
        largest: height and width that are not exceeded.
        room_mm: left on each side of the largest brain.

    Raises:
        ValueError: when there is no brain, or the room is negative or not finite.
    """
    if not 0 <= room_mm < math.inf:
        raise ValueError(f"brain_box_room_mm is {room_mm}: give the millimetres to leave on each side, 0 or more")
    extents = list(extents_mm)
    if not extents:
        raise ValueError("there is no brain to fit a box to")
    needed = [(max(extent[axis] for extent in extents) + 2 * room_mm) / pixel_mm[axis] for axis in (0, 1)]
    height, width = (max(_MIN_PIXELS, _SIZE_DIVISOR * math.ceil(size / _SIZE_DIVISOR)) for size in needed)
    return min(height, largest[0]), min(width, largest[1])


def _box(
    preprocessing: Preprocessing, dataset_dir: str | Path, room_mm: float, workers: int, *, label_set: str | Path
) -> tuple[int, int]:
    found = look_for_cases(dataset_dir, preprocessing.modalities, label_set)
    problems = list(found.problems)
    extents = []
    for measured in map_in_threads(partial(_extent_mm, preprocessing=preprocessing), found.cases, workers):
        if isinstance(measured, CohortError):  # the preparation that follows reports it, and decides what to do
            problems.extend(measured.problems)
        else:
            extents.append(measured)
    if not extents:
        raise CohortError(problems)
    return box_pixels(extents, preprocessing.pixel_mm, preprocessing.image_size, room_mm)


def _extent_mm(case: Case, preprocessing: Preprocessing) -> tuple[float, float] | CohortError:
    """Return height and width of a case's brain, or why it is refused."""
    try:
        loaded = load_case(case, preprocessing)
    except CohortError as error:
        return error
    start, end = generate_spatial_bounding_box(loaded.brain[None])
    width, height, _ = ((last - first) * mm for first, last, mm in zip(start, end, loaded.spacing_mm, strict=True))
    return float(height), float(width)
