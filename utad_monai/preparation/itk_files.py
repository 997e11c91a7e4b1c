"""NRRD and MetaImage files: ITK reads them, but takes damaged compressed voxels as they come, so those are checked."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from transforms import InvalidImageError
from transforms.nifti import MAX_VOXELS, MIN_AXIS

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
