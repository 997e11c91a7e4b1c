"""The one door through which NIfTI files come in: header first, then bytes, then voxels, all checked.

Named readers of MONAI fall back on others when one refuses a file, and ITK reads damaged files as zeros, so the
bytes are read and judged here with nibabel before any other library sees them.
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from transforms.errors import InvalidImageError

MAX_VOXELS = 512**3
"""Largest accepted volume (134 million voxels, 0.5 GiB as float32); a larger claim is refused before allocation."""
MIN_AXIS = 2
"""Fewest voxels along each axis of a volume."""
MSD_CHANNELS = "FLAIR, T1w, T1gd, T2w"
"""Channel order of the 4-D files of the Medical Segmentation Decathlon's brain tumour task."""
MAX_HEADER_BYTES = 1 << 20
"""Largest accepted voxel offset (header and extensions)."""
SPACING_RANGE_MM = (0.05, 20.0)
"""Spacings outside this range are doubtful: metres or micrometres taken for mm."""
LARGE_INTENSITY = 1e7
"""No scanner writes larger values; percentile windows still cope, so it is a warning."""

_GZIP_MAGIC = b"\x1f\x8b"
_NIFTI1_BYTES, _NIFTI2_BYTES = 348, 540
_CHUNK_BYTES = 1 << 20
_REAL_KINDS = "iuf"


@dataclass(frozen=True)
class NiftiVolume:
    """A sound volume as stored, and what was doubtful about it.

    Attributes:
        array: `(X, Y, Z)` float32, intensities in file units after slope and intercept.
        affine: `(4, 4)` float64, voxel indices to RAS+ world mm.
        header: the NIfTI header as read.
        warnings: one phrase for each doubtful but accepted property.
    """

    array: np.ndarray[Any, np.dtype[np.float32]]
    affine: np.ndarray[Any, np.dtype[np.float64]]
    header: nibabel.Nifti1Header
    warnings: tuple[str, ...]


def read_nifti(path: str | Path, channel: int | None = None, channel_count: int | None = None) -> NiftiVolume:
    """Read one `.nii` or `.nii.gz` file that holds a 3-D scalar volume, or one channel of a 4-D file.

    Args:
        path: the file.
        channel: which volume of a 4-D file, from 0 on; None for a 3-D file. Only its voxels are kept in memory and
            judged; the gzip stream is checked to its end.
        channel_count: how many volumes the 4-D file must hold; None for any number.

    Returns:
        The volume with finite float32 voxels and a non-singular affine.

    Raises:
        InvalidImageError: for anything that is not such a file: wrong container, damaged stream, impossible
            header, unusable affine, voxels that are not finite real numbers, 4-D where 3-D was asked and vice versa.
    """
    path = Path(path)
    _check_regular_file(path)
    header = _parse_header(path, bytes(_read_bytes(path, _NIFTI2_BYTES)))
    warnings: list[str] = []
    _check_dimensions(path, header, warnings, channel, channel_count)
    _check_storage(path, header, warnings)
    affine, affine_warnings = _usable_affine(path, header)
    array = _read_voxels(path, header, channel)
    return NiftiVolume(array, affine, header, (*warnings, *affine_warnings, *_doubtful_voxels(array, channel)))


def _check_regular_file(path: Path) -> None:
    try:
        if path.is_symlink() and not path.exists():
            raise InvalidImageError(path, "is a symbolic link to a file that is missing", "restore the link's target")
        if path.is_dir():
            raise InvalidImageError(path, "is a directory, not a file", "remove it or put the image in its place")
        if not path.exists():
            raise InvalidImageError(path, "is missing: no such file", "restore the file or remove it from the list")
        if path.stat().st_size == 0:
            raise InvalidImageError(path, "is empty (0 bytes)", "copy or download it again")
    except OSError as error:
        raise InvalidImageError(path, f"cannot be read ({error.strerror})", "check the link or permission") from error


def _open(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
    except OSError as error:
        raise InvalidImageError(path, f"cannot be read ({error.strerror})", "check its permission") from error
    if path.suffix == ".gz" and not compressed:
        raise InvalidImageError(path, "is named .gz but is not a gzip file", "download it again or rename it to .nii")
    return gzip.open(path, "rb") if compressed else path.open("rb")


def _read_bytes(path: Path, count: int, start: int = 0, at_least: int = 0) -> bytearray:
    """Read up to `count` bytes from `start` on, then pass over what follows.

    Args:
        path: the file.
        count: bytes to keep.
        start: bytes to pass over first.
        at_least: bytes that the file must hold; a little more is read, so that the gzip CRC at its end is checked.

    Raises:
        InvalidImageError: when the stream is damaged, or shorter than `at_least`.
    """
    try:
        with _open(path) as stream:
            total = _pass_over(stream, start)
            content = _read_in_steps(stream, count)
            total += len(content)
            if at_least:
                total += _pass_over(stream, at_least + MAX_HEADER_BYTES - total)
    except (EOFError, gzip.BadGzipFile, zlib.error, OSError) as error:
        raise InvalidImageError(path, f"is a damaged or truncated gzip file ({error})", "copy it again") from error
    if total < at_least:
        raise InvalidImageError(path, f"is too short: {total} bytes where its header expects {at_least}")
    return content


def _read_in_steps(stream: Any, count: int) -> bytearray:
    """Read up to `count` bytes; memory grows with what is there, not with what a header claims."""
    content = bytearray()
    while len(content) < count and (chunk := stream.read(min(_CHUNK_BYTES, count - len(content)))):
        content += chunk
    return content


def _pass_over(stream: Any, count: int) -> int:
    """Read up to `count` bytes without keeping them; return how many there were."""
    passed = 0
    while passed < count and (chunk := stream.read(min(_CHUNK_BYTES, count - passed))):
        passed += len(chunk)
    return passed


def _parse_header(path: Path, block: bytes) -> nibabel.Nifti1Header:
    if len(block) < _NIFTI1_BYTES:
        raise InvalidImageError(path, f"is not a NIfTI file: {len(block)} bytes are too short for its header")
    sizes = {int.from_bytes(block[:4], order) for order in ("little", "big")}
    if not sizes & {_NIFTI1_BYTES, _NIFTI2_BYTES}:
        raise InvalidImageError(path, "is not a NIfTI file: the header's sizeof_hdr is neither 348 nor 540")
    if _NIFTI1_BYTES not in sizes and len(block) < _NIFTI2_BYTES:
        raise InvalidImageError(path, f"is too short: {len(block)} bytes hold no NIfTI-2 header")
    try:
        header: nibabel.Nifti1Header = (
            nibabel.Nifti1Header(block[:_NIFTI1_BYTES], check=False)
            if _NIFTI1_BYTES in sizes
            else nibabel.Nifti2Header(block[:_NIFTI2_BYTES], check=False)
        )
    except (HeaderDataError, ImageFileError, ValueError, KeyError) as error:
        raise InvalidImageError(path, f"has an unreadable NIfTI header ({error})") from error
    if bytes(header["magic"].tobytes()[:3]) not in (b"n+1", b"n+2"):
        raise InvalidImageError(path, "has a wrong magic: it is not a single-file NIfTI")
    return header


def _check_dimensions(
    path: Path,
    header: nibabel.Nifti1Header,
    warnings: list[str],
    channel: int | None = None,
    channel_count: int | None = None,
) -> None:
    dims = [int(size) for size in header["dim"]]
    rank, sizes = dims[0], dims[1:]
    if not 1 <= rank <= 7:
        raise InvalidImageError(path, f"has dim[0] = {rank}: a NIfTI file has 1 to 7 dimensions")
    if any(size < 1 for size in sizes[:rank]):
        raise InvalidImageError(path, f"has a zero or negative dimension in its shape {tuple(sizes[:rank])}")
    if rank < 3 or any(size < MIN_AXIS for size in sizes[:3]):
        raise InvalidImageError(path, f"has shape {tuple(sizes[:rank])}: a 3-D volume of several slices is needed")
    if channel is not None:
        _check_channels(path, sizes[:rank], channel, channel_count)
    elif any(size > 1 for size in sizes[3:rank]):
        raise _unasked_channels(path, sizes[:rank])
    elif rank > 3:
        warnings.append(f"is stored {rank}-D with shape {tuple(sizes[:rank])}, squeezed to 3-D")
    if math.prod(sizes[:3]) > MAX_VOXELS:
        raise InvalidImageError(path, f"is too large: {tuple(sizes[:3])} is over the limit of {MAX_VOXELS} voxels")


def _check_channels(path: Path, sizes: list[int], channel: int, channel_count: int | None) -> None:
    """Refuse a file without the asked channel, or with another number of channels than expected."""
    wanted = f"{channel_count} channels are" if channel_count else f"channel {channel} (counted from 0) is"
    if len(sizes) < 4 or any(size > 1 for size in sizes[4:]):
        raise InvalidImageError(path, f"has shape {tuple(sizes)}: a 4-D file is needed ({wanted} expected)")
    if channel_count not in (None, sizes[3]) or not 0 <= channel < sizes[3]:
        reason = f"has {sizes[3]} channels (shape {tuple(sizes)}) where {wanted} expected"
        raise InvalidImageError(path, reason, f"the channel order of MSD files is {MSD_CHANNELS}")


def _unasked_channels(path: Path, sizes: list[int]) -> InvalidImageError:
    reason = f"is {len(sizes)}-D with shape {tuple(sizes)}: one 3-D volume is needed"
    if len(sizes) != 4 or sizes[3] != len(MSD_CHANNELS.split(", ")):
        return InvalidImageError(path, reason)
    hint = f"it looks like an MSD (Medical Segmentation Decathlon) file, channel order {MSD_CHANNELS}"
    return InvalidImageError(path, reason, f"{hint}: put it into a folder imagesTr, or split it into one file each")


def _check_storage(path: Path, header: nibabel.Nifti1Header, warnings: list[str]) -> None:
    try:
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise InvalidImageError(path, f"has an unknown data type code {int(header['datatype'])}") from error
    if dtype.kind not in _REAL_KINDS or dtype.itemsize > 8:
        raise InvalidImageError(path, f"has data type {dtype}: one real number a voxel is needed")
    if int(header["bitpix"]) != 8 * dtype.itemsize:
        warnings.append(f"has bitpix {int(header['bitpix'])} with data type {dtype}")
    offset = float(header["vox_offset"])
    if not header.single_vox_offset <= offset <= MAX_HEADER_BYTES:  # NaN is refused too
        raise InvalidImageError(path, f"has an impossible voxel offset {offset}")
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope):
        warnings.append("has a scl_slope that is not finite: intensities are taken unscaled")
    elif slope != 0 and not math.isfinite(inter):
        raise InvalidImageError(path, "has a scl_inter that is not finite")


def _usable_affine(path: Path, header: nibabel.Nifti1Header) -> tuple[Any, list[str]]:
    spacing = header["pixdim"][1:4].astype(float)
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if sform == 0 and (not np.isfinite(spacing).all() or (spacing <= 0).any()):
        raise InvalidImageError(path, f"has pixdim spacing {spacing.tolist()} and no sform")
    try:
        affine = header.get_best_affine()
    except (HeaderDataError, ValueError) as error:
        raise InvalidImageError(path, f"has an unusable affine ({error})") from error
    if not np.isfinite(affine).all():
        raise InvalidImageError(path, "has an affine that is not finite")
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    if (zooms == 0).any() or abs(np.linalg.det(affine[:3, :3] / np.where(zooms > 0, zooms, 1))) < 1e-3:
        raise InvalidImageError(path, "has a singular affine: its orientation is unknown")
    return affine, _doubtful_affine(header, sform, qform, zooms)


def _doubtful_affine(header: nibabel.Nifti1Header, sform: int, qform: int, zooms: Any) -> list[str]:
    warnings = []
    if sform == 0 and qform == 0:
        warnings.append("has neither sform nor qform: its orientation is a guess")
    if sform > 0 and qform > 0 and not _same_forms(header):
        warnings.append("has a qform and an sform that disagree: the sform is used")
    if (zooms < SPACING_RANGE_MM[0]).any() or (zooms > SPACING_RANGE_MM[1]).any():
        warnings.append(f"has an unusual voxel spacing {zooms.tolist()} mm: check the unit")
    return warnings


def _same_forms(header: nibabel.Nifti1Header) -> bool:
    try:
        return bool(np.allclose(header.get_sform(), header.get_qform(), atol=1e-2))
    except (HeaderDataError, ValueError):
        return False


def _read_voxels(path: Path, header: nibabel.Nifti1Header, channel: int | None) -> Any:
    shape = tuple(int(size) for size in header["dim"][1:4])
    dtype = header.get_data_dtype()
    offset = int(header["vox_offset"])
    volume_bytes = math.prod(shape) * dtype.itemsize
    volumes = 1 if channel is None else int(header["dim"][4])
    content = _read_bytes(path, volume_bytes, offset + volume_bytes * (channel or 0), offset + volume_bytes * volumes)
    array = np.frombuffer(content, dtype).reshape(shape, order="F").astype(np.float32)
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if math.isfinite(slope) and slope != 0 and (slope, inter) != (1, 0):
        array = array * np.float32(slope) + np.float32(inter)
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise InvalidImageError(path, f"{_named(channel)}has {count} voxels that are NaN or infinite, not finite")
    return array


def _doubtful_voxels(array: Any, channel: int | None) -> list[str]:
    warnings = []
    if array.min() < 0:
        warnings.append(f"has negative intensities (down to {array.min():g}): background must be 0")
    if array.max() > LARGE_INTENSITY:
        warnings.append(f"has an intensity out of range ({array.max():g}): an outlier spike")
    return [_named(channel) + text for text in warnings]


def _named(channel: int | None) -> str:
    return "" if channel is None else f"channel {channel} "
