"""DICOM series: their headers, and the volume they hold."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813

from utad_monai.data.sequences import read_name
from utad_monai.transforms import InvalidImageError

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


_MAGIC_OFFSET, _MAGIC = 128, b"DICM"
_ENDINGS = (".dcm", ".dicom", ".ima")
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
"""How a DICOM file without its mark begins: with file information or identification, in either order of bytes."""
_LONGEST_FIRST_VALUE = 1 << 12
_SCANNER = {"Manufacturer": "0008|0070", "ManufacturersModelName": "0008|1090"}
_PLACEHOLDER = re.compile(r"anonym\w*|anon|unknown|none|null|n/?a|not ?available|de-?identified|removed|x{2,}|[0\W_]+")
"""A PatientID that names nobody: `ANONYMOUS`, `000`."""
_SETTINGS = {
    "MagneticFieldStrength": ("0018|0087", 1.0),
    "RepetitionTime": ("0018|0080", 1e-3),
    "EchoTime": ("0018|0081", 1e-3),
    "InversionTime": ("0018|0082", 1e-3),
    "FlipAngle": ("0018|1314", 1.0),
}
"""Tag of each BIDS name, and the factor to its BIDS unit: tesla, seconds, degrees."""

_EVIDENCE = {
    "ContrastBolusAgent": "0018|0010",
    "ContrastBolusIngredient": "0018|1048",
    "ContrastBolusVolume": "0018|1041",
    "ContrastBolusTotalDose": "0018|1044",
    "SequenceName": "0018|0024",
    "MRAcquisitionType": "0018|0023",
    "EchoTrainLength": "0018|0091",
    "BodyPartExamined": "0018|0015",
}
_LISTS = {"ScanningSequence": "0018|0020", "SequenceVariant": "0018|0021", "ImageType": "0008|0008"}
"""Tags that tell what kind of image it is, by their BIDS names."""
_STUDY, _SERIES, _ECHO_NUMBER = "0020|000d", "0020|000e", "0018|0086"


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
    _: KW_ONLY
    components: int
    pixel_mm: tuple[float, ...] | None
    position: tuple[float, ...] | None
    axes: tuple[float, ...] | None


@dataclass(frozen=True)
class Examination:
    """Who a DICOM series shows, and when: for this run alone, never written.

    Attributes:
        study: the StudyInstanceUID.
        studied: day of the study, ISO 8601; empty where the header does not say.
        acquired: day of the images, or of their series.
        frame: the FrameOfReferenceUID.
        patient: hash of the PatientID; empty for one that names nobody.
    """

    study: str = ""
    studied: str = ""
    _: KW_ONLY
    acquired: str = ""
    frame: str = ""
    patient: str = ""

    @property
    def day(self) -> str:
        """The day of the study, or of its images."""
        return self.studied or self.acquired

    def may_be_of(self, other: Examination) -> bool:
        """Tell whether two series may be of one session.

        Those of one day may, and those of neighbouring days (past midnight) or without a day when they share the
        study or the frame of reference.
        """
        days = [
            (one, two) for one, two in ((self.studied, other.studied), (self.acquired, other.acquired)) if one and two
        ]
        apart = max((abs((date.fromisoformat(one) - date.fromisoformat(two)).days) for one, two in days), default=None)
        related = self.study == other.study or (bool(self.frame) and self.frame == other.frame)
        return apart == 0 or (related and apart in (None, 1))


@dataclass(frozen=True)
class DicomSeries:
    """The images that share a SeriesInstanceUID below one folder, or everything but that.

    Attributes:
        folder: where they are.
        uid: the SeriesInstanceUID.
        number: the scanner's number of the series, as text.
        description: SeriesDescription, and ProtocolName where that says nothing.
        kind: the DICOM modality, such as `MR`.
        slices: in no particular order.
        acquisition: how the first file says that it was acquired, in names and units of a BIDS sidecar.
        examination: who it shows, and when.
        evidence: the same, and what else tells what kind of image it is; to recognise it, never to be written.
    """

    folder: Path
    uid: str
    _: KW_ONLY
    number: str
    description: str
    kind: str
    slices: tuple[DicomSlice, ...]
    acquisition: Mapping[str, str | float]
    examination: Examination = Examination()
    evidence: Mapping[str, Any] = field(default_factory=dict)


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM by its mark, its first element or its ending (a DICOMDIR index does not count)."""
    if path.name.upper() == "DICOMDIR":
        return False
    try:
        with path.open("rb") as file:
            start = file.read(_MAGIC_OFFSET + len(_MAGIC))
    except OSError:
        return False
    return start[_MAGIC_OFFSET:] == _MAGIC or _begins_with_element(start) or path.suffix.casefold() in _ENDINGS


def _begins_with_element(start: bytes) -> bool:
    """Tell whether bytes begin as the data of a DICOM file do; older programs leave out what comes before them."""
    if start[:2] not in _FIRST_GROUPS or len(start) < 8:
        return False
    order: Literal["big", "little"] = "big" if start[:1] == b"\x00" else "little"
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return explicit or int.from_bytes(start[4:8], order) <= _LONGEST_FIRST_VALUE


_Members = list[tuple[DicomSlice, dict[str, str]]]


def group_series(paths: Iterable[Path]) -> tuple[list[DicomSeries], list[Path]]:
    """Group DICOM files by their series; one that was stored under many SeriesInstanceUIDs is one series.

    Args:
        paths: DICOM files, also of several folders.

    Returns:
        The series, by folder and number, and the files that hold no readable image (reports, damaged headers).
    """
    grouped: dict[tuple[Path, str], _Members] = defaultdict(list)
    unreadable = []
    for path in sorted(paths):
        header = _header(path)
        if header is None:
            unreadable.append(path)
        else:
            grouped[path.parent, header[1].get(_SERIES, "")].append(header)
    series = [_series(folder, members) for folder, members in _joined(grouped)]
    return sorted(series, key=lambda one: (one.folder, one.number.zfill(8), one.uid)), unreadable


def _joined(grouped: Mapping[tuple[Path, str], _Members]) -> Iterator[tuple[Path, _Members]]:
    """Yield the files of each series; groups that differ in nothing but their UID and their places are one."""
    alike: dict[tuple[Any, ...], list[_Members]] = defaultdict(list)
    for (folder, _), members in grouped.items():
        same = {_identity(place, tags) for place, tags in members}
        alike[folder, *(same if len(same) == 1 else (id(members),))].append(members)
    for (folder, *_), groups in alike.items():
        together = [member for members in groups for member in members]
        places = {place.position for place, _ in together}
        apart = len(places) == len(together) and None not in places
        for members in [together] if apart else groups:
            yield folder, members


def _identity(place: DicomSlice, tags: Mapping[str, str]) -> tuple[Any, ...]:
    """Return what all slices of a series have in common, its UID left out."""
    told = (
        _STUDY,
        _ECHO_NUMBER,
        "0020|0011",
        "0008|103e",
        "0018|1030",
        "0008|0060",
        *_EVIDENCE.values(),
        *_LISTS.values(),
    )
    timing = tuple(tags.get(tag, "") for tag, _ in _SETTINGS.values())
    axes = place.axes and tuple(round(value, 3) for value in place.axes)
    return (*(tags.get(tag, "") for tag in told), *timing, place.size, place.components, place.pixel_mm, axes)


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


def _series(folder: Path, members: _Members) -> DicomSeries:
    tags = members[0][1]
    acquisition = _acquisition(tags)
    return DicomSeries(
        folder=folder,
        uid=tags.get(_SERIES, ""),
        number=tags.get("0020|0011", ""),
        description=_description(tags.get("0008|103e", ""), tags.get("0018|1030", "")),
        kind=tags.get("0008|0060", ""),
        slices=tuple(place for place, _ in members),
        acquisition=acquisition,
        evidence={**acquisition, **_evidence(tags)},
        examination=_examination(tags),
    )


def _examination(tags: dict[str, str]) -> Examination:
    patient = tags.get("0010|0020", "").strip("\0 ")
    named = bool(patient) and not _PLACEHOLDER.fullmatch(patient.casefold())
    return Examination(
        tags.get("0020|000d", "").strip("\0 "),
        _day(tags.get("0008|0020", "")),
        acquired=_day(tags.get("0008|0022", "")) or _day(tags.get("0008|0021", "")),
        frame=tags.get("0020|0052", "").strip("\0 "),
        patient=hashlib.sha256(patient.casefold().encode()).hexdigest() if named else "",
    )


def _day(text: str) -> str:
    """Return a date of DICOM (`20190301`, in old files `2019.03.01`) as ISO 8601; empty when it is none."""
    try:
        return datetime.strptime(text.strip("\0 ").replace(".", ""), "%Y%m%d").date().isoformat()
    except ValueError:
        return ""


def _description(description: str, protocol: str) -> str:
    """Return what the scanner's user called a series: the protocol where the description says nothing."""
    speaks = read_name(description).speaks or not read_name(protocol).speaks
    return description if description and speaks else protocol


def _evidence(tags: Mapping[str, str]) -> dict[str, Any]:
    single = {name: tags[tag] for name, tag in _EVIDENCE.items() if tags.get(tag)}
    lists = {name: [part.strip() for part in tags[tag].split("\\")] for name, tag in _LISTS.items() if tags.get(tag)}
    return {**single, **lists}


def _acquisition(tags: dict[str, str]) -> dict[str, str | float]:
    found: dict[str, str | float] = {name: tags[tag] for name, tag in _SCANNER.items() if tags.get(tag)}
    for name, (tag, unit) in _SETTINGS.items():
        value = _numbers(tags, tag, 1)
        if value and math.isfinite(value[0]):
            found[name] = round(value[0] * unit, 6)
    return found


# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


_REMEDY = "export the series again, or convert it to NIfTI and look at it"
_AXES_TOLERANCE = 1e-3
_PLACE_TOLERANCE_MM = 0.1
"""Positions are written with few digits; a slice may lie this far from where it should."""
_MIN_SLICES = 2

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DicomStack:
    """The slices of a series in order, and where they lie.

    Attributes:
        files: one for each slice, from the first to the last along the normal.
        size: columns, rows, slices.
        spacing: mm, in the same order.
        origin: `(3,)` LPS mm of the first voxel.
        direction: `(3, 3)`, columns are the directions of the voxel axes.
    """

    files: tuple[str, ...]
    size: tuple[int, int, int]
    _: KW_ONLY
    spacing: tuple[float, float, float]
    origin: Vector
    direction: Vector


def stack_slices(series: DicomSeries) -> DicomStack:
    """Order the slices of a series and check that they are one volume.

    Raises:
        InvalidImageError: when slices are missing, double, of different sizes or directions, unevenly spaced,
            sheared (gantry tilt), in colour, or several in one file.
    """
    first = series.slices[0]
    _check_alike(series)
    if first.axes is None or first.position is None or first.pixel_mm is None:
        raise _refusal(series, "lacks image position, orientation or pixel spacing in its DICOM headers")
    rows, columns = np.array(first.axes[:3]), np.array(first.axes[3:])
    normal = np.cross(rows, columns)
    places = np.array([one.position for one in series.slices], dtype=np.float64)
    order = np.argsort(places @ normal, kind="stable")
    places = places[order]
    step = _even_step(series, places, normal)
    return DicomStack(
        files=tuple(str(series.slices[index].path) for index in order),
        size=(first.size[0], first.size[1], len(series.slices)),
        spacing=(first.pixel_mm[0], first.pixel_mm[1], step),
        origin=places[0],
        direction=np.stack([rows, columns, normal], axis=1),
    )


def read_series(series: DicomSeries) -> sitk.Image:
    """Read a series as a float32 volume with the geometry of its headers, rescaled as they say.

    Raises:
        InvalidImageError: when the slices are not one volume, or a file's pixels cannot be read.
    """
    stack = stack_slices(series)
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames(stack.files)
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _refusal(series, "has a file whose pixels are damaged or truncated") from error
    if image.GetSize() != stack.size:
        raise _refusal(series, f"was read with size {image.GetSize()} where its headers say {stack.size}")
    image.SetSpacing(stack.spacing)
    image.SetOrigin(stack.origin.tolist())
    image.SetDirection(stack.direction.ravel().tolist())
    for key in image.GetMetaDataKeys():  # the patient's name is in there
        image.EraseMetaData(key)
    return image


def _check_alike(series: DicomSeries) -> None:
    first = series.slices[0]
    if any(len(one.size) > 2 for one in series.slices):
        raise _refusal(series, "has several frames in one file (enhanced DICOM)", "convert it with dcm2niix")
    if any(one.components != 1 for one in series.slices):
        raise _refusal(series, "is in colour: no MR image")
    if len(series.slices) < _MIN_SLICES:
        raise _refusal(series, "has one slice only: a volume is needed")
    if any(one.size != first.size or not _same(one.pixel_mm, first.pixel_mm) for one in series.slices):
        sizes = sorted({"x".join(map(str, one.size)) for one in series.slices})
        raise _refusal(series, f"has slices of mixed sizes or pixel spacings ({', '.join(sizes)})")
    if any(not _same(one.axes, first.axes) for one in series.slices):
        raise _refusal(series, "has slices of different directions (a localiser?)", "leave it out")
    if any((one.position is None) != (first.position is None) for one in series.slices):
        raise _refusal(series, "has slices without a position")


def _same(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.allclose(one, other, atol=_AXES_TOLERANCE))


def _even_step(series: DicomSeries, places: Vector, normal: Vector) -> float:
    """Return the distance of neighbouring slices in mm; `places` are ordered along the normal."""
    gaps = np.diff(places @ normal)
    if (gaps < _PLACE_TOLERANCE_MM).any():
        raise _refusal(series, "has several images at one place (echoes, time points or copies)", "keep one of each")
    step = float(np.median(gaps))
    uneven = np.abs(gaps - step) > max(_PLACE_TOLERANCE_MM, 0.02 * step)
    if uneven.any():
        widest = float(gaps.max())
        what = "missing slices" if widest > 1.5 * step else "slices that are not evenly spaced"
        raise _refusal(series, f"has {what}: gaps of {gaps.min():.2f} to {widest:.2f} mm")
    step = float((places[-1] - places[0]) @ normal) / len(gaps)
    straight = places[0] + np.arange(len(places))[:, None] * step * normal
    if np.abs(places - straight).max() > max(_PLACE_TOLERANCE_MM, 0.02 * step) * 2:
        raise _refusal(series, "has slices that are shifted sideways (gantry tilt)")
    return step


def _refusal(series: DicomSeries, reason: str, remedy: str = _REMEDY) -> InvalidImageError:
    return InvalidImageError(series.folder, f"DICOM series {series.number or 'without number'} {reason}", remedy)
