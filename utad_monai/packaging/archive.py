"""Read files out of a zipped package without unpacking it to disk; an unsafe or oversized archive is refused."""

from __future__ import annotations

import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from utad_monai.checkpoints.torch_file import MAX_BYTES
from utad_monai.errors import CheckpointError
from utad_monai.packaging.layout import PackageFile

_MAX_MEMBERS = 1000
_MAX_RATIO = 100
"""Weights hardly compress and texts less than this: more is a bomb."""
_SMALL_BYTES = 2**20
"""Members up to this size may compress as they like."""
_REMEDY = "zip the folder that utad-monai package wrote, or give the folder"
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)


def read_member(path: str | Path, name: PackageFile) -> bytes:
    """Return one file of a zipped package, which may lie in one folder of the archive.

    Raises:
        CheckpointError: when the archive is unsafe, too large, damaged, or no package.
    """
    with _opened(path) as archive:
        members = archive.infolist()
        _refuse_unsafe(path, members)
        return archive.read(_member(path, members, name))


@contextmanager
def _opened(path: str | Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(path, "is missing", "check the path") from error
    except _DAMAGE as error:
        raise CheckpointError(path, f"is a truncated or corrupt zip file ({error})", _REMEDY) from error


def _member(path: str | Path, members: list[zipfile.ZipInfo], name: PackageFile) -> zipfile.ZipInfo:
    parts = PurePosixPath(name).parts
    found = [m for m in members if PurePosixPath(m.filename).parts in (parts, (*_top(m.filename), *parts))]
    if len(found) != 1:
        reason = f"is a zip file with {'several' if found else 'no'} {name}: no package"
        raise CheckpointError(path, reason, _REMEDY)
    return found[0]


def _top(name: str) -> tuple[str, ...]:
    return PurePosixPath(name).parts[:1]


def _refuse_unsafe(path: str | Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > _MAX_MEMBERS:
        raise CheckpointError(path, f"is too large: {len(members)} files; a package has a dozen", _REMEDY)
    if sum(member.file_size for member in members) > MAX_BYTES:
        raise CheckpointError(path, f"is too large: it unpacks to more than {MAX_BYTES / 2**30:.0f} GiB", _REMEDY)
    for member in members:
        if reason := _unsafe(member):
            raise CheckpointError(path, f"is an unsafe zip file: {member.filename!r} {reason}", _REMEDY)
    names = [unicodedata.normalize("NFC", member.filename.rstrip("/")).casefold() for member in members]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise CheckpointError(path, f"is an unsafe zip file: it holds {repeated[0]!r} more than once", _REMEDY)


def _unsafe(member: zipfile.ZipInfo) -> str:
    """Return why a member must not be read; empty when it may."""
    name, mode = member.filename, member.external_attr >> 16
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name or "\\" in name:
        return "would lie outside the package's folder"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "has control characters in its name"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a symbolic link or a special file"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if member.file_size > max(_SMALL_BYTES, _MAX_RATIO * member.compress_size):
        return f"is too large: {member.compress_size} bytes unpack to {member.file_size}, a ratio beyond {_MAX_RATIO}"
    return ""
