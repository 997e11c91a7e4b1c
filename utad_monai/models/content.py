"""The form of a model file: kind, format, version, plain-data description and weights."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from torch import Tensor

from utad_monai import __version__
from utad_monai.errors import CheckpointError
from utad_monai.models.filling import refuse_absurd_description, refuse_non_finite
from utad_monai.models.package_file import is_package, packaged_content
from utad_monai.models.stages import present_model
from utad_monai.models.weights_file import is_safetensors, read_safetensors, read_weights_only, write_safetensors

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
_IN_WORDS = {
    str(ModelKind.TRANSLATOR): "a translation model (teacher, student or starter)",
    str(ModelKind.SEGMENTER): "a segmentation network",
}
_GIVE = {
    ModelKind.TRANSLATOR: "give the model of a student, such as student/model.safetensors of a run",
    ModelKind.SEGMENTER: "give the model of a segmentation, such as segmentation/model.safetensors of a run",
}


def save_content(
    path: str | Path, kind: ModelKind, weights: Mapping[str, Mapping[str, Tensor]], description: Mapping[str, Any]
) -> None:
    """Write a model file, atomically.

    Args:
        path: the file; its form is safetensors, whatever its name is.
        kind: what it holds.
        weights: the state dict of each network, by the network's name.
        description: plain data that rebuilds the networks.

    Raises:
        CheckpointError: when a weight is not finite, or the description could not be read back; an older file stays.
    """
    refuse_absurd_description(path, description)
    for state in weights.values():
        refuse_non_finite(path, state)
    said = {"format": _FORMATS[kind], "kind": str(kind), "version": __version__, "description": description}
    write_safetensors(path, said, weights)


def read_content(path: str | Path, kind: ModelKind) -> dict[str, Any]:
    """Return all that a model file or package holds: format, kind, version, description and weights.

    Raises:
        CheckpointError: when it is none of this kind and format, or its description is absurd.
    """
    content: Any
    if is_safetensors(path):
        content = read_safetensors(path)
    elif is_package(path):
        content = packaged_content(path)
    else:
        content = read_weights_only(path)  # written by an earlier version
    if not isinstance(content, dict) or not {"kind", "weights", "description"} <= set(content):
        raise CheckpointError(path, "has no description: unexpected or missing keys")
    if content["kind"] != kind:
        raise CheckpointError(path, f"holds {_named(content['kind'])}, not {_named(kind)}", _GIVE[kind])
    if content.get("format") != _FORMATS[kind]:
        reason = f"has a newer or unknown form ({content.get('format')!s:.40}; this version reads {_FORMATS[kind]})"
        raise CheckpointError(path, reason, "update utad-monai, or use a model of this version")
    refuse_absurd_description(path, content["description"])
    return content


def _named(kind: Any) -> str:
    return _IN_WORDS.get(str(kind), f"something else ({kind!s:.40})")


def read_translator_content(path: str | Path) -> dict[str, Any]:
    """Return all that a translator's file or package holds: format, kind, version, description and weights.

    Raises:
        CheckpointError: when it is no translator of this format.
    """
    return read_content(present_model(path), ModelKind.TRANSLATOR)
