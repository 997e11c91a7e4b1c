"""Weights and plain data on disk: safetensors, and the torch files of earlier versions."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import pickletools
import re
import stat
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, nn

from utad_monai.errors import CheckpointError
from utad_monai.runtime.files import atomic_path

MAX_BYTES = 4 * 2**30
"""Largest model file: the published generator with its critics needs less than 1 GB."""
_MAX_PICKLE_BYTES = 4 * 2**20
"""Largest list of contents in a model file: names, sizes and the description, not the weights."""
_ZIP_SIGN, _PICKLE_SIGN = b"PK\x03\x04", b"\x80"
_PICKLE = "data.pkl"
_DATA = re.compile(
    r"collections (OrderedDict|Counter)|torch\._utils _rebuild_(tensor_v2|parameter)"
    r"|torch (\w+Storage|Size|device|bfloat16|float(16|32|64)|u?int\d+|bool)"
)
"""Names that a list of contents may call: torch's own list also has such that fill any amount of memory."""
_CALLS = ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")
"""Other ways to name something to call; torch never writes them."""


def read_weights_only(path: str | Path, file: IO[bytes] | None = None) -> Any:
    """Read tensors and plain data from a torch file; anything that could run code is refused.

    Args:
        path: the file, or what errors call it.
        file: its content where that is not on disk, seekable; the file itself by default.

    Raises:
        CheckpointError: when the file is missing, damaged, larger than it says, or holds more than data.
    """
    if file is not None:
        return _read(path, file)
    if not Path(path).exists():
        raise CheckpointError(path, "is missing", "check the path")
    if not Path(path).is_file():  # opening a pipe would wait for ever
        raise CheckpointError(path, "is no file", "check the path")
    try:
        with Path(path).open("rb") as opened:
            return _read(path, opened)
    except OSError as error:
        raise CheckpointError(
            path, f"cannot be read ({error.strerror})", "check the file and its permissions"
        ) from error


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: str | Path, file: IO[bytes]) -> Any:
    try:
        _refuse_unsafe(path, file)
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(path, "is unsafe or not a weights_only file: refused unread") from error
    except Exception as error:  # damaged bytes give IndexError, AssertionError, struct.error and more
        raise CheckpointError(path, "is truncated or corrupt", "restore it from a copy, or train again") from error


def _refuse_unsafe(path: str | Path, file: IO[bytes]) -> None:
    """Look at sizes and at the names that would be called, without making anything of them."""
    file.seek(0)
    sign, size = file.read(4), file.seek(0, 2)
    if sign.startswith(_PICKLE_SIGN):
        reason = "is a bare pickle, or of PyTorch's format before 1.6: unsafe, refused unread"
        raise CheckpointError(path, reason, "load it where you trust it and save it again with torch.save")
    if sign != _ZIP_SIGN:
        raise CheckpointError(path, "is no torch file, or truncated or corrupt", "restore it from a copy")
    if size > MAX_BYTES:
        raise CheckpointError(path, f"is too large ({size / 2**30:.1f} GiB; the limit is {MAX_BYTES / 2**30:.0f})")
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > size:  # torch stores its members as they are
            raise CheckpointError(path, f"is too large: {size} bytes that unpack to {unpacked}")
        for member in archive.infolist():
            if member.filename.endswith(_PICKLE):
                _refuse_calls(path, archive, member)


def _refuse_calls(path: str | Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    if member.file_size > _MAX_PICKLE_BYTES:
        raise CheckpointError(path, f"has a list of contents that is too large ({member.file_size} bytes)")
    for opcode, argument, _ in pickletools.genops(archive.read(member)):
        if opcode.name in _CALLS or (opcode.name == "GLOBAL" and not _DATA.fullmatch(str(argument))):
            reason = f"is unsafe or not a weights_only file: it calls {str(argument or opcode.name)!r}; refused unread"
            raise CheckpointError(path, reason)


def weights_sha256(network: nn.Module) -> str:
    """Return the SHA-256 of a network's weights and buffers, in hexadecimal: names, shapes, types and every bit."""
    content = hashlib.sha256()
    for name, value in network.state_dict().items():
        content.update(f"{name} {list(value.shape)} {value.dtype}".encode())
        content.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return content.hexdigest()


SUFFIX = ".safetensors"
_CONTENT = "utad_monai"
"""Entry of the header that holds format, kind, version and description as JSON."""
_GENERATOR = "generator"
"""The network whose weights have their plain names; those of others have their network's name and a slash before it."""
_BEGINNING = b"\0\0\0\0{"
"""Bytes 4 to 8 of every file: the upper half of the header's size, which is below 4 GiB, and its first letter."""
_MAX_HEADER_BYTES = 4 * 2**20
_SIZE_BYTES = 8
_REMEDY = "restore it from a copy, or give another model"


def is_safetensors(path: str | Path) -> bool:
    """Tell whether a file is named like a safetensors file, or begins like one whatever its name is."""
    path = Path(path)
    if path.suffix.lower() == SUFFIX:
        return not os.path.isdir(path)
    with suppress(OSError):
        if path.is_file():  # opening a pipe would wait for ever
            with path.open("rb") as file:
                return file.read(9)[4:] == _BEGINNING
    return False


def write_safetensors(
    path: str | Path, heading: Mapping[str, Any], weights: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Write the weights of a model's networks, and what a model file says beside them, atomically.

    Args:
        path: the file.
        heading: format, kind, version and description, plain data.
        weights: the state dict of each network, by the network's name.
    """
    stored = {
        name if network == _GENERATOR else f"{network}/{name}": value.detach().cpu().contiguous()
        for network, state in weights.items()
        for name, value in state.items()
    }
    content = safetensors.save(stored, {_CONTENT: json.dumps(heading)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_safetensors(path: str | Path) -> dict[str, Any]:
    """Return all that a model file holds: format, kind, version, description and weights; half precision as single.

    Raises:
        CheckpointError: when the file is missing, damaged, too large, or says nothing about its model.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
            raise CheckpointError(path, "is no file", "check the path")
        with Path(path).open("rb") as file:
            described = _described(path, file)
            file.seek(0)
            stored = safetensors.load(file.read())
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(path, "is missing", "check the path") from error
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    except (SafetensorError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(path, "is truncated or corrupt", _REMEDY) from error
    return {**described, "weights": _by_network(stored)}


def _described(path: str | Path, file: IO[bytes]) -> dict[str, Any]:
    """Return what a file says about its model; only its header is read."""
    size = file.seek(0, 2)
    if size > MAX_BYTES:
        raise CheckpointError(path, f"is too large (the limit is {MAX_BYTES / 2**30:.0f} GiB)", _REMEDY)
    file.seek(0)
    header_size = int.from_bytes(file.read(_SIZE_BYTES), "little")
    if header_size > min(_MAX_HEADER_BYTES, size - _SIZE_BYTES):
        raise ValueError("the header is larger than the file, or than any model needs")
    said = json.loads(file.read(header_size).decode("utf-8")).get("__metadata__", {})
    described = json.loads(said[_CONTENT]) if _CONTENT in said else None
    if not isinstance(described, dict):
        raise CheckpointError(path, "has no description: it is no model of this project", _REMEDY)
    return described


def _by_network(stored: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the state dict of each network, by the network's name."""
    weights: dict[str, dict[str, Tensor]] = {}
    for key, value in stored.items():
        network, _, name = key.rpartition("/")
        single = value.float() if value.dtype is torch.float16 else value
        weights.setdefault(network or _GENERATOR, {})[name] = single
    return weights
