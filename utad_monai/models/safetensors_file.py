"""A model in one safetensors file: nothing in it can run, weights in half precision, the description in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from utad_monai.errors import CheckpointError
from utad_monai.models.filling import refuse_non_finite
from utad_monai.runtime.files import atomic_path

SUFFIX = ".safetensors"
_CONTENT = "utad_monai"
"""Entry of the header that holds format, kind, version and description as JSON."""
_MAX_BYTES = 2**30
_MAX_HEADER_BYTES = 4 * 2**20
_SIZE_BYTES = 8
_REMEDY = "restore it from a copy, or give another model"


def is_safetensors(path: str | Path) -> bool:
    """Tell whether a path names a safetensors file."""
    return Path(path).suffix.lower() == SUFFIX and not Path(path).is_dir()


def write_safetensors(path: str | Path, heading: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write a generator's weights, rounded to half precision, and what a model file says beside them, atomically.

    Args:
        path: the file.
        heading: format, kind, version and description, plain data.
        weights: the generator's state dict.

    Raises:
        CheckpointError: when a weight is not finite, or too large for half precision; an older file stays.
    """
    rounded = {name: _rounded(value) for name, value in weights.items()}
    refuse_non_finite(path, rounded)
    metadata = {_CONTENT: json.dumps(heading, sort_keys=True, allow_nan=False)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(safetensors.save(rounded, metadata))


def read_safetensors(path: str | Path) -> dict[str, Any]:
    """Return what a model file would hold: format, kind, version, description and weights, in single precision.

    Raises:
        CheckpointError: when the file is missing, damaged, too large, or says nothing about its model.
    """
    try:
        content = _bytes(Path(path))
        described = json.loads(_header(content).get("__metadata__", {})[_CONTENT])
        weights = safetensors.load(content)
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(path, "is missing", "check the path") from error
    except KeyError as error:
        raise CheckpointError(path, "has no description: it is no model of this project", _REMEDY) from error
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    except (SafetensorError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(path, "is truncated or corrupt", _REMEDY) from error
    if not isinstance(described, dict):
        raise CheckpointError(path, "has no description: it is no model of this project", _REMEDY)
    return {**described, "weights": {"generator": {name: _restored(value) for name, value in weights.items()}}}


def _bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise CheckpointError(path, "is no file", "check the path")
    if path.stat().st_size > _MAX_BYTES:
        raise CheckpointError(path, f"is too large (the limit is {_MAX_BYTES / 2**30:.0f} GiB)", _REMEDY)
    return path.read_bytes()


def _header(content: bytes) -> dict[str, Any]:
    size = int.from_bytes(content[:_SIZE_BYTES], "little")
    if size > min(_MAX_HEADER_BYTES, len(content) - _SIZE_BYTES):
        raise ValueError("the header is larger than the file, or than any model needs")
    header = json.loads(content[_SIZE_BYTES : _SIZE_BYTES + size].decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError("the header is no mapping")
    return header


def _rounded(value: Tensor) -> Tensor:
    plain = value.detach().cpu().contiguous()
    return plain.to(torch.float16) if plain.is_floating_point() else plain


def _restored(value: Tensor) -> Tensor:
    return value.to(torch.float32) if value.is_floating_point() else value
