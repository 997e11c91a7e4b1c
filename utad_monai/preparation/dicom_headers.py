"""DICOM files by their headers: which are images, and which belong to one series; names and dates are never read."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk  # noqa: N813

_MAGIC_OFFSET, _MAGIC = 128, b"DICM"


@dataclass(frozen=True)
class DicomSlice:
    """What the header of one DICOM image says about its place.

    Attributes:
        path: the file.
        size: columns and rows; with the number of frames when there are several.
        components: values of a pixel, 1 in MR images.
        pixel_mm: distance of neighbouring columns and rows; None when the header does not say.
        position: `(3,)` LPS mm of the first pixel; None when the header does not say.
        axes: `(6,)` direction of the rows and of the columns; None when the header does not say.
    """

    path: Path
    size: tuple[int, ...]
    components: int
    pixel_mm: tuple[float, ...] | None
    position: tuple[float, ...] | None
    axes: tuple[float, ...] | None


@dataclass(frozen=True)
class DicomSeries:
    """The images that share a SeriesInstanceUID below one folder.

    Attributes:
        folder: where they are.
        uid: the SeriesInstanceUID.
        number: the scanner's number of the series, as text.
        description: SeriesDescription, and ProtocolName where it is empty.
        kind: the DICOM modality, such as `MR`.
        contrast_agent: whether the header names a contrast agent.
        slices: in no particular order.
    """

    folder: Path
    uid: str
    number: str
    description: str
    kind: str
    contrast_agent: bool
    slices: tuple[DicomSlice, ...]


def is_dicom(path: Path) -> bool:
    """Tell whether a file carries the mark of DICOM files (a DICOMDIR index does not count)."""
    if path.name.upper() == "DICOMDIR":
        return False
    try:
        with path.open("rb") as file:
            return file.read(_MAGIC_OFFSET + len(_MAGIC))[_MAGIC_OFFSET:] == _MAGIC
    except OSError:
        return False


def group_series(paths: Iterable[Path]) -> tuple[list[DicomSeries], list[Path]]:
    """Group DICOM files by their series.

    Args:
        paths: DICOM files, also of several folders.

    Returns:
        The series, by folder and number, and the files that hold no readable image (reports, damaged headers).
    """
    grouped: dict[tuple[Path, str], list[tuple[DicomSlice, dict[str, str]]]] = defaultdict(list)
    unreadable = []
    for path in sorted(paths):
        header = _header(path)
        if header is None:
            unreadable.append(path)
        else:
            grouped[path.parent, header[1].get("0020|000e", "")].append(header)
    series = [_series(folder, uid, members) for (folder, uid), members in grouped.items()]
    return sorted(series, key=lambda one: (one.folder, one.number.zfill(8), one.uid)), unreadable


def _header(path: Path) -> tuple[DicomSlice, dict[str, str]] | None:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    tags = {key: reader.GetMetaData(key).strip() for key in reader.GetMetaDataKeys()}
    pixel_mm = _numbers(tags, "0028|0030", 2)
    place = DicomSlice(
        path=path,
        size=tuple(size for axis, size in enumerate(reader.GetSize()) if axis < 2 or size > 1),
        components=reader.GetNumberOfComponents(),
        pixel_mm=pixel_mm[::-1] if pixel_mm else None,  # DICOM names the distance of rows first
        position=_numbers(tags, "0020|0032", 3),
        axes=_numbers(tags, "0020|0037", 6),
    )
    return place, tags


def _numbers(tags: dict[str, str], tag: str, count: int) -> tuple[float, ...] | None:
    try:
        values = tuple(float(text) for text in tags.get(tag, "").split("\\"))
    except ValueError:
        return None
    return values if len(values) == count else None


def _series(folder: Path, uid: str, members: list[tuple[DicomSlice, dict[str, Any]]]) -> DicomSeries:
    tags = members[0][1]
    return DicomSeries(
        folder=folder,
        uid=uid,
        number=tags.get("0020|0011", ""),
        description=tags.get("0008|103e", "") or tags.get("0018|1030", ""),
        kind=tags.get("0008|0060", ""),
        contrast_agent=bool(tags.get("0018|0010", "")),
        slices=tuple(place for place, _ in members),
    )
