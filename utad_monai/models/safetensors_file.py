"""A model in one safetensors file: nothing in it can run, weights bit by bit, the description as JSON in its header."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from utad_monai.errors import CheckpointError
from utad_monai.models.torch_file import MAX_BYTES
from utad_monai.runtime.files import atomic_path

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
