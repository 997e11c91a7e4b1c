"""Packages as model files: the names of their files, and safe reading of folders and zip files."""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from utad_monai.errors import CheckpointError
from utad_monai.models.weights_file import MAX_BYTES, file_sha256, read_weights_only

DEFAULT_NAME = "brain_mri_modality_translation"
"""Name of a package, and of its folder, where none is given."""
WEIGHT_PREFIX = "generator."
"""What stands before the generator's own weight names: `network_def` holds the generator as its only part."""


class PackageFile(StrEnum):
    """A file of a package, relative to its folder; the names are those of MONAI's model zoo where it has one."""

    METADATA = "configs/metadata.json"
    INFERENCE = "configs/inference.json"
    LOGGING = "configs/logging.conf"
    TRANSLATOR = "configs/translator.json"
    """The model's plain-data description: generator, preprocessing, intensity windows, source errors, training."""
    WEIGHTS = "models/model.pt"
    """The state dict of `network_def`."""
    SAFETENSORS = "models/model.safetensors"
    ONNX = "models/model.onnx"
    TORCHSCRIPT = "models/model.ts"
    PT2 = "models/model.pt2"
    """A `torch.export` program."""
    MODEL_CARD = "docs/README.md"
    DATA_LICENCE = "docs/data_license.txt"
    LICENCE = "LICENSE"


def weights_file(model: str | Path) -> Path:
    """Return the file with a model's weights: the model itself, or the one inside a package folder."""
    path = Path(model)
    return path / PackageFile.WEIGHTS if path.is_dir() else path


_MAX_MEMBERS = 1000
_MAX_RATIO = 100
"""Weights hardly compress and texts less than this: more is a bomb."""
_SMALL_BYTES = 2**20
"""Members up to this size may compress as they like."""
_ZIP_REMEDY = "zip the folder that utad-monai package wrote, or give the folder"
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
        raise CheckpointError(path, f"is a truncated or corrupt zip file ({error})", _ZIP_REMEDY) from error


def _member(path: str | Path, members: list[zipfile.ZipInfo], name: PackageFile) -> zipfile.ZipInfo:
    parts = PurePosixPath(name).parts
    found = [m for m in members if PurePosixPath(m.filename).parts in (parts, (*_top(m.filename), *parts))]
    if len(found) != 1:
        reason = f"is a zip file with {'several' if found else 'no'} {name}: no package"
        raise CheckpointError(path, reason, _ZIP_REMEDY)
    return found[0]


def _top(name: str) -> tuple[str, ...]:
    return PurePosixPath(name).parts[:1]


def _refuse_unsafe(path: str | Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > _MAX_MEMBERS:
        raise CheckpointError(path, f"is too large: {len(members)} files; a package has a dozen", _ZIP_REMEDY)
    if sum(member.file_size for member in members) > MAX_BYTES:
        raise CheckpointError(path, f"is too large: it unpacks to more than {MAX_BYTES / 2**30:.0f} GiB", _ZIP_REMEDY)
    for member in members:
        if reason := _unsafe(member):
            raise CheckpointError(path, f"is an unsafe zip file: {member.filename!r} {reason}", _ZIP_REMEDY)
    names = [unicodedata.normalize("NFC", member.filename.rstrip("/")).casefold() for member in members]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise CheckpointError(path, f"is an unsafe zip file: it holds {repeated[0]!r} more than once", _ZIP_REMEDY)


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


_REMEDY = "give a model file, or a folder written by utad-monai package, or a zip file of it"
_MAX_DESCRIPTION_BYTES = 4 * 2**20
_TAR = re.compile(r"\.(tar(\.\w+)?|tgz|tbz2?|txz)", re.IGNORECASE)


def is_package(path: str | Path) -> bool:
    """Tell whether a path is a package, its folder or a zip file of it, and not a model file.

    Raises:
        CheckpointError: when it is a tar archive.
    """
    path = Path(path)
    if _TAR.search(path.name) and not path.is_dir():
        reason = "is a tar archive, which is not read: links in it can lead outside its folder"
        raise CheckpointError(path, f"{reason} (unsafe)", "unpack it and give the folder, or pack it as a .zip")
    return path.is_dir() or _is_zipped(path)


def model_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a model's file, of a package that of its `models/model.pt`, in hexadecimal."""
    if _is_zipped(path):
        return hashlib.sha256(read_member(path, PackageFile.WEIGHTS)).hexdigest()
    return file_sha256(weights_file(path))


def packaged_content(package: str | Path) -> dict[str, Any]:
    """Return what a model file would hold: format, kind, version, description and the generator's weights.

    Args:
        package: a package, its folder or a zip file of it.

    Raises:
        CheckpointError: when it is no package, or its description or weights are damaged or foreign.
    """
    described = _described(Path(package))
    if _is_zipped(package):
        file, content = Path(package) / PackageFile.WEIGHTS, io.BytesIO(read_member(package, PackageFile.WEIGHTS))
        state = read_weights_only(file, content)
    else:
        file = weights_file(package)
        state = read_weights_only(file)
    if not isinstance(state, Mapping) or not all(str(name).startswith(WEIGHT_PREFIX) for name in state):
        raise CheckpointError(file, "is no state dict of a packaged student", _REMEDY)
    weights = {str(name).removeprefix(WEIGHT_PREFIX): value for name, value in state.items()}
    return {**described, "weights": {"generator": weights}}


def _is_zipped(path: str | Path) -> bool:
    return Path(path).suffix.lower() == ".zip" and not Path(path).is_dir()


def _described(package: Path) -> dict[str, Any]:
    path = package / PackageFile.TRANSLATOR
    try:
        text = read_member(package, PackageFile.TRANSLATOR) if _is_zipped(package) else _small_file(path)
        described = json.loads(text.decode("utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(package, f"is a folder without {PackageFile.TRANSLATOR}: no package", _REMEDY) from error
    except CheckpointError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(path, f"is no readable JSON ({error})", "write the package again") from error
    if not isinstance(described, dict) or not isinstance(described.get("description"), dict):
        raise CheckpointError(path, "has no description", "write the package again")
    return described


def _small_file(path: Path) -> bytes:
    if path.stat().st_size > _MAX_DESCRIPTION_BYTES:
        raise ValueError("it is too large")
    return path.read_bytes()
