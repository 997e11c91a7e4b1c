"""NRRD and MetaImage files: ITK reads them, but takes damaged compressed voxels as they come, so those are checked."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

import math
import zlib
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.dicom import DicomSeries, Examination, read_series, stack_slices
from utad_monai.apps.prepare.geometry import image_of
from utad_monai.data.sequences import contrast_agent
from utad_monai.transforms import InvalidImageError, read_nifti
from utad_monai.transforms.nifti import MAX_VOXELS, MIN_AXIS

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


_MAX_HEADER_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 22
_DETACHED = "keep header and voxels in one file (.nrrd, .mha), or the .raw beside its .mhd"


def read_itk_file(path: Path) -> sitk.Image:
    """Read a `.nrrd`, `.mha` or `.mhd` file as a 3-D float32 image.

    Raises:
        InvalidImageError: when it is not a sound 3-D scalar volume, or its voxels lie outside its folder.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    header = _text_header(path)
    _check_voxel_file(path, header)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InvalidImageError(path, "cannot be read: its header is damaged") from error
    voxels = _check_information(path, reader)
    _check_compressed(path, header, voxels * _voxel_bytes(reader))
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise InvalidImageError(path, "cannot be read: its voxels are damaged or too few") from error
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    return image


def require_finite(path: Path, image: sitk.Image) -> None:
    """Refuse an image with NaN or infinite voxels.

    Raises:
        InvalidImageError: when there are any.
    """
    wrong = int((~np.isfinite(sitk.GetArrayViewFromImage(image))).sum())
    if wrong:
        raise InvalidImageError(path, f"has {wrong} voxels that are NaN or infinite, not finite")


def _text_header(path: Path) -> dict[str, str]:
    """Return the `key: value` or `key = value` lines before the voxels, keys in lower case."""
    try:
        with path.open("rb") as file:
            block = file.read(_MAX_HEADER_BYTES)
    except OSError as error:
        raise InvalidImageError(path, f"cannot be read ({error.strerror})", "check the link or permission") from error
    fields: dict[str, str] = {}
    for line in block.split(b"\n"):
        text = line.decode("latin-1").strip()
        key, separator, value = text.partition(":=" if ":=" in text else ":" if block.startswith(b"NRRD") else "=")
        if separator:
            fields[key.strip().casefold()] = value.strip()
        if (not text and block.startswith(b"NRRD")) or key.strip() == "ElementDataFile":
            break
    return fields


def _check_voxel_file(path: Path, header: dict[str, str]) -> None:
    """Refuse voxels in another file, but for one beside an `.mhd`."""
    detached = header.get("data file", header.get("datafile", ""))
    element = header.get("elementdatafile", "LOCAL")
    beside = path.suffix.casefold() == ".mhd" and Path(element).name == element and element.upper() != "LIST"
    if detached or (element.upper() != "LOCAL" and not beside):
        raise InvalidImageError(path, "has its voxels in another file", _DETACHED)
    if beside and (path.parent / element).resolve().parent != path.parent.resolve():
        raise InvalidImageError(path, "has its voxels outside its folder", _DETACHED)


def _check_information(path: Path, reader: sitk.ImageFileReader) -> int:
    """Return the number of voxels of a usable volume."""
    size = tuple(int(length) for length in reader.GetSize())
    if len(size) != 3:
        raise InvalidImageError(path, f"is {len(size)}-D with shape {size}: one 3-D volume is needed")
    if reader.GetNumberOfComponents() != 1:
        raise InvalidImageError(path, f"has {reader.GetNumberOfComponents()} values a voxel: one is needed")
    if min(size) < MIN_AXIS:
        raise InvalidImageError(path, f"has shape {size}: a 3-D volume of several slices is needed")
    if math.prod(size) > MAX_VOXELS:
        raise InvalidImageError(path, f"is too large: {size} is over the limit of {MAX_VOXELS} voxels")
    return math.prod(size)


def _voxel_bytes(reader: sitk.ImageFileReader) -> int:
    return int(sitk.Image([1, 1, 1], reader.GetPixelID()).GetSizeOfPixelComponent())


def _check_compressed(path: Path, header: dict[str, str], expected_bytes: int) -> None:
    """Decompress once for the checksum, which ITK does not look at; nothing is kept, whatever the file unpacks to."""
    try:
        if header.get("encoding", "").casefold() in ("gzip", "gz"):
            _decompress(path, path.read_bytes().partition(b"\n\n")[2], zlib.MAX_WBITS + 16, expected_bytes)
        elif header.get("compresseddata", "").casefold() == "true":
            element = header.get("elementdatafile", "LOCAL")
            local = path.read_bytes().partition(b"ElementDataFile")[2].partition(b"\n")[2]
            voxels = local if element.upper() == "LOCAL" else (path.parent / element).read_bytes()
            _decompress(path, voxels, zlib.MAX_WBITS, expected_bytes)
    except (OSError, zlib.error) as error:
        raise InvalidImageError(path, f"has damaged compressed voxels ({error})", "copy it again") from error


def _decompress(path: Path, content: bytes, window: int, expected_bytes: int) -> None:
    stream = zlib.decompressobj(window)
    total = 0
    while content and not stream.eof and total <= expected_bytes:
        total += len(stream.decompress(content, _CHUNK_BYTES))
        content = stream.unconsumed_tail
    if not stream.eof or total != expected_bytes:
        reason = f"has compressed voxels of {total} bytes or more where its header expects {expected_bytes}"
        raise InvalidImageError(path, reason, "copy it again")


# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


_SHEAR_TOLERANCE = 1e-3


class RawFormat(StrEnum):
    """File formats that are read."""

    DICOM = "DICOM"
    NIFTI = "NIfTI"
    NRRD = "NRRD"
    META_IMAGE = "MetaImage"


FORMAT_OF_ENDING = {
    ".nii.gz": RawFormat.NIFTI,
    ".nii": RawFormat.NIFTI,
    ".nrrd": RawFormat.NRRD,
    ".mha": RawFormat.META_IMAGE,
    ".mhd": RawFormat.META_IMAGE,
}
"""Endings of image files, in lower case; DICOM files are known by their content."""


@dataclass(frozen=True)
class RawSource:
    """Where a raw image is.

    Attributes:
        path: the file, or the folder of a DICOM series.
        format: how it is stored.
        series: the DICOM series, when it is one.
    """

    path: Path
    format: RawFormat
    _: KW_ONLY
    series: DicomSeries | None = None

    @property
    def examination(self) -> Examination | None:
        """Who a DICOM series shows, and when; None for other files."""
        return self.series.examination if self.series else None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file whose content decides the image, by name."""
        if self.series is not None:
            return tuple(sorted(one.path for one in self.series.slices))
        beside = [self.path.with_suffix(ending) for ending in (".raw", ".zraw")]
        return (self.path, *(path for path in beside if self.path.suffix.casefold() == ".mhd" and path.is_file()))

    @property
    def text(self) -> str:
        """How the user finds it: a file, or a series of a folder; for the screen only."""
        if self.series is None:
            return self.path.name
        return f"{self.path.name}/ series {self.series.number or '?'} {self.series.description!r}"


@dataclass(frozen=True)
class RawImage:
    """A sound raw volume.

    Attributes:
        image: float32, LPS geometry, voxels in the order of the file.
        warnings: one phrase for each doubtful property.
    """

    image: sitk.Image
    warnings: tuple[str, ...]


def format_of(path: Path) -> RawFormat | None:
    """Return the format that a file's ending promises, or None."""
    name = path.name.casefold()
    return next((kind for ending, kind in FORMAT_OF_ENDING.items() if name.endswith(ending)), None)


def stem_of(path: Path) -> str:
    """Return a file's name without the ending of its format."""
    ending = next((ending for ending in FORMAT_OF_ENDING if path.name.casefold().endswith(ending)), path.suffix)
    return path.name[: len(path.name) - len(ending)] if ending else path.name


def read_raw_image(source: RawSource) -> RawImage:
    """Read and check one raw image.

    Raises:
        InvalidImageError: when it is not a sound 3-D volume of finite numbers on an orthogonal grid.
    """
    if source.series is not None:
        image, warnings = read_series(source.series), _series_warnings(source.series)
    elif source.format is RawFormat.NIFTI:
        volume = read_nifti(source.path)
        _refuse_shear(source.path, volume.affine)
        image, warnings = image_of(volume.array, volume.affine), volume.warnings
    else:
        image, warnings = read_itk_file(source.path), ()
    require_finite(source.path, image)
    return RawImage(image, warnings)


def size_and_spacing(source: RawSource) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return voxels and mm along each axis from the headers alone.

    Raises:
        InvalidImageError: when the headers cannot be used.
    """
    if source.series is not None:
        stack = stack_slices(source.series)
        return stack.size, stack.spacing
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(source.path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InvalidImageError(source.path, "cannot be read: its header is damaged") from error
    return tuple(reader.GetSize()), tuple(reader.GetSpacing())


def _refuse_shear(path: Path, affine: npt.NDArray[np.float64]) -> None:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=_SHEAR_TOLERANCE):
        raise InvalidImageError(path, "has a sheared affine: its axes are not at right angles", "resample it first")


def _series_warnings(series: DicomSeries) -> tuple[str, ...]:
    return ("its DICOM header names a contrast agent",) if contrast_agent(series.evidence) else ()
