"""Bytes of a file that may be compressed, damaged, or a bomb: how much is read is decided before it is read."""

from __future__ import annotations

import gzip
import stat
import zlib
from pathlib import Path
from typing import Any

from utad_monai.errors import InvalidImageError

MAX_TRAILING_BYTES = 1 << 20
"""Bytes after the voxels that are passed over with a warning; more of them are no image."""
MAX_GZIP_RATIO = 1040
"""Deflate cannot expand a stream further."""
LARGE_BYTES, LARGE_RATIO = 1 << 27, 300
"""A stream that would expand to more bytes than this must not expand further than this: brains do 3- to 60-fold."""

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20


def check_regular_file(path: Path) -> None:
    """Refuse what is no file with content: absent, a broken link, a folder, a pipe, a device, empty.

    Raises:
        InvalidImageError: saying which.
    """
    try:
        if path.is_symlink() and not path.exists():
            raise InvalidImageError(path, "is a symbolic link to a file that is missing", "restore the link's target")
        if path.is_dir():
            raise InvalidImageError(path, "is a directory, not a file", "remove it or put the image in its place")
        if not path.exists():
            raise InvalidImageError(path, "is missing: no such file", "restore the file or remove it from the list")
        status = path.stat()
    except OSError as error:
        raise InvalidImageError(path, f"cannot be read ({error.strerror})", "check the link or permission") from error
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for ever
        raise InvalidImageError(path, "is a pipe, socket or device, not a regular file", "put the image in its place")
    if status.st_size == 0:
        raise InvalidImageError(path, "is empty (0 bytes)", "copy or download it again")


def check_expansion(path: Path, expected: int) -> None:
    """Refuse a compressed file that cannot hold what its header says, or is hardly an image, before it is expanded.

    Args:
        path: a regular file.
        expected: bytes that its header calls for.

    Raises:
        InvalidImageError: when the stream would have to expand more than deflate can, or suspiciously far.
    """
    compressed, size = is_compressed(path), path.stat().st_size
    if expected > size * (MAX_GZIP_RATIO if compressed else 1):
        raise InvalidImageError(path, f"is too short: {size} bytes where its header expects {expected}")
    if expected > LARGE_BYTES and expected > size * LARGE_RATIO:
        reason = f"is suspicious: its {size} bytes would expand to {expected}, over the limit of {LARGE_RATIO} times"
        raise InvalidImageError(path, reason, "crop the empty volume or replace the file")


def read_bytes(path: Path, count: int, start: int = 0, at_least: int = 0) -> tuple[bytearray, int]:
    """Read up to `count` bytes from `start` on, then pass over what follows.

    Args:
        path: the file.
        count: bytes to keep.
        start: bytes to pass over first.
        at_least: bytes that the file must hold; when given the file is read to its end, where the gzip CRC is.

    Returns:
        The bytes, and how many there are beyond `at_least`.

    Raises:
        InvalidImageError: when the stream is damaged, shorter than `at_least`, or much longer.
    """
    try:
        with _open(path) as stream:
            total = _pass_over(stream, start)
            content = _read_in_steps(stream, count)
            total += len(content)
            if at_least:
                total += _pass_over(stream, at_least + MAX_TRAILING_BYTES + 1 - total)
    except (EOFError, gzip.BadGzipFile, zlib.error, OSError) as error:
        raise InvalidImageError(path, f"is a damaged or truncated gzip file ({error})", "copy it again") from error
    if total < at_least:
        raise InvalidImageError(path, f"is too short: {total} bytes where its header expects {at_least}")
    if at_least and total > at_least + MAX_TRAILING_BYTES:
        raise InvalidImageError(path, f"is too long: it goes on after the {at_least} bytes that its header expects")
    return content, max(0, total - at_least)


def _read_in_steps(stream: Any, count: int) -> bytearray:
    """Read up to `count` bytes; memory grows with what is there, not with what a header claims."""
    content = bytearray()
    while len(content) < count and (chunk := stream.read(min(_CHUNK_BYTES, count - len(content)))):
        content += chunk
    return content


def _open(path: Path) -> Any:
    return gzip.open(path, "rb") if is_compressed(path) else path.open("rb")


def is_compressed(path: Path) -> bool:
    """Tell whether a file is a gzip stream, whatever its name.

    Raises:
        InvalidImageError: when it cannot be read, or is named `.gz` and is none.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
    except OSError as error:
        raise InvalidImageError(path, f"cannot be read ({error.strerror})", "check its permission") from error
    if path.suffix == ".gz" and not compressed:
        raise InvalidImageError(path, "is named .gz but is not a gzip file", "download it again or rename it to .nii")
    return compressed


def _pass_over(stream: Any, count: int) -> int:
    """Read up to `count` bytes without keeping them; return how many there were."""
    passed = 0
    while passed < count and (chunk := stream.read(min(_CHUNK_BYTES, count - passed))):
        passed += len(chunk)
    return passed
