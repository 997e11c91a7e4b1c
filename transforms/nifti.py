"""The one door through which NIfTI files come in: header first, then bytes, then voxels, all checked.

Named readers of MONAI fall back on others when one refuses a file, and ITK reads damaged files as zeros, so the
bytes are read and judged here with nibabel before any other library sees them.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from utad_monai.errors import InvalidImageError
from utad_monai.transforms.nifti_affine import Matrix, Placement, read_placement
from utad_monai.transforms.nifti_bytes import check_expansion, check_regular_file, is_compressed, read_bytes

MAX_VOXELS = 512**3
"""Largest accepted volume (134 million voxels, 0.5 GiB as float32); a larger claim is refused before allocation."""
MIN_AXIS = 2
"""Fewest voxels along each axis of a volume."""
MSD_CHANNELS = "FLAIR, T1w, T1gd, T2w"
"""Channel order of the 4-D files of the Medical Segmentation Decathlon's brain tumour task."""
MAX_HEADER_BYTES = 1 << 20
"""Largest accepted voxel offset (header and extensions)."""
LARGE_INTENSITY = 1e7
"""No scanner writes larger values; percentile windows still cope, so it is a warning."""

_NIFTI1_BYTES, _NIFTI2_BYTES = 348, 540
_REAL_KINDS = "iuf"


@dataclass(frozen=True)
class NiftiVolume:
    """A sound volume as stored, and what was doubtful about it.

    Attributes:
        array: `(X, Y, Z)` float32, intensities in file units after slope and intercept.
        placement: where its voxels lie, and what is doubtful about it.
        header: the NIfTI header as read.
        doubts: one phrase for each doubtful but accepted property of anything else.
    """

    array: np.ndarray[Any, np.dtype[np.float32]]
    placement: Placement
    _: KW_ONLY
    header: nibabel.Nifti1Header
    doubts: tuple[str, ...]

    @property
    def affine(self) -> Matrix:
        """`(4, 4)` float64, voxel indices to RAS+ world mm."""
        return self.placement.affine

    @property
    def warnings(self) -> tuple[str, ...]:
        """One phrase for each doubtful but accepted property."""
        return (*self.doubts, *self.placement.warnings)


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
    warnings: list[str] = []
    header = _checked_header(path, warnings, channel, channel_count)
    placement = read_placement(path, header)
    array = _read_voxels(path, header, channel, warnings)
    return NiftiVolume(array, placement, header=header, doubts=(*warnings, *_doubtful_voxels(array, channel)))


def read_header(path: str | Path) -> nibabel.Nifti1Header:
    """Return the NIfTI-1 or NIfTI-2 header of a file, without its extensions; no voxel is read.

    Raises:
        InvalidImageError: when the file is no NIfTI file.
    """
    path = Path(path)
    check_regular_file(path)
    return _parse_header(path, bytes(read_bytes(path, _NIFTI2_BYTES)[0]))


def _checked_header(
    path: Path, warnings: list[str], channel: int | None, channel_count: int | None
) -> nibabel.Nifti1Header:
    header = read_header(path)
    _check_dimensions(path, header, warnings, channel, channel_count)
    _check_storage(path, header, warnings)
    _check_extensions(path, header, warnings)
    return header


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


def _check_extensions(path: Path, header: nibabel.Nifti1Header, warnings: list[str]) -> None:
    """Warn of header extensions that do not fill the room before the voxels: other programs stumble over them."""
    place, end = _NIFTI1_BYTES + 4, int(header["vox_offset"])
    if bytes(header["magic"].tobytes()[:3]) == b"n+2":
        place = _NIFTI2_BYTES + 4
    block, _ = read_bytes(path, max(0, end - place + 4), start=place - 4)
    if not block or block[0] == 0:
        return
    order: Literal["big", "little"] = "big" if header.endianness == ">" else "little"
    while place < end:
        size = int.from_bytes(block[4:8], order, signed=True)
        if size < 16 or size % 16 or place + size > end:
            warnings.append("has damaged header extensions: they are passed over")
            return
        block, place = block[size:], place + size


def _read_voxels(path: Path, header: nibabel.Nifti1Header, channel: int | None, warnings: list[str]) -> Any:
    shape = tuple(int(size) for size in header["dim"][1:4])
    dtype = header.get_data_dtype()
    offset = int(header["vox_offset"])
    volume_bytes = math.prod(shape) * dtype.itemsize
    volumes = 1 if channel is None else int(header["dim"][4])
    expected = offset + volume_bytes * volumes
    check_expansion(path, expected)
    content, beyond = read_bytes(path, volume_bytes, offset + volume_bytes * (channel or 0), expected)
    if path.suffix == ".nii" and is_compressed(path):
        warnings.append("is compressed although it is named .nii: other programs stumble over it")
    if beyond:
        warnings.append(f"goes on for {beyond} bytes after its voxels: they are passed over")
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
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
