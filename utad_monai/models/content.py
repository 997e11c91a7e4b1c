"""The form of a model file: kind, format, version, plain-data description and weights."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utad_monai import __version__
from utad_monai.errors import CheckpointError
from utad_monai.models.filling import refuse_absurd_description, refuse_non_finite
from utad_monai.models.package_file import is_package, packaged_content
from utad_monai.models.safetensors_file import is_safetensors, read_safetensors
from utad_monai.models.torch_file import read_weights_only
from utad_monai.runtime.files import atomic_path

UNUSABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What rebuilding a network from a description of the wrong form raises."""


class ModelKind(StrEnum):
    """What a model file holds."""

    TRANSLATOR = "translator"
    SEGMENTER = "segmenter"


_FORMATS = {ModelKind.TRANSLATOR: 2, ModelKind.SEGMENTER: 1}
"""Raised whenever the description of a kind gets another form."""


def save_content(
    path: str | Path, kind: ModelKind, weights: Mapping[str, Mapping[str, Tensor]], description: Mapping[str, Any]
) -> None:
    """Write a model file, atomically.

    Raises:
        CheckpointError: when a weight is not finite; an older file stays.
    """
    for state in weights.values():
        refuse_non_finite(path, state)
    content = heading(kind, description) | {
        "weights": {name: {key: value.cpu() for key, value in state.items()} for name, state in weights.items()},
    }
    # a full disk is known as such only where torch does not open the file itself
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def heading(kind: ModelKind, description: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that a model file holds but its weights: format, kind, version and description."""
    return {"format": _FORMATS[kind], "kind": str(kind), "version": __version__, "description": dict(description)}


def read_content(path: str | Path, kind: ModelKind) -> dict[str, Any]:
    """Return all that a model file or package holds: format, kind, version, description and weights.

    Raises:
        CheckpointError: when it is none of this kind and format, or its description is absurd.
    """
    if is_safetensors(path):
        content: Any = read_safetensors(path)
    else:
        content = packaged_content(path) if is_package(path) else read_weights_only(path)
    if not isinstance(content, dict) or not {"kind", "weights", "description"} <= set(content):
        raise CheckpointError(path, "has no description: unexpected or missing keys")
    if content["kind"] != kind or content.get("format") != _FORMATS[kind]:
        found = f"{content['kind']!s:.40} of format {content.get('format')!s:.40}"
        raise CheckpointError(path, f"is a {found}, not a {kind} of format {_FORMATS[kind]}")
    refuse_absurd_description(path, content["description"])
    return content


def read_translator_content(path: str | Path) -> dict[str, Any]:
    """Return all that a translator's file or package holds: format, kind, version, description and weights.

    Raises:
        CheckpointError: when it is no translator of this format.
    """
    return read_content(path, ModelKind.TRANSLATOR)
