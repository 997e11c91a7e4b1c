"""Limits of a model's description: what is absurd is refused before anything is built from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from utad_monai.data.preprocessing import Preprocessing
from utad_monai.errors import CheckpointError

_DEPTH, _ENTRIES, _LETTERS = 16, 100_000, 1_000_000
_PLAIN = (str, int, float, bool, type(None))
_NETWORKS = ("generator", "critic", "unet")
_LARGEST = 8192
_LARGEST_OF = {"layers": 16, "num_res_units": 16}
"""Numbers that say how many parts a network has: each part takes time to make, whatever its size."""
_LONGEST = 16
_LARGEST_IMAGE, _LARGEST_FRAME_MM = 2048, 2000.0


def refuse_absurd_description(path: str | Path, description: Any) -> None:
    """Refuse a description that is no plain data, is nested too deeply, or whose networks are beyond all measure.

    Raises:
        CheckpointError: naming the entry.
    """
    if not isinstance(description, Mapping):
        raise CheckpointError(path, "has no description: it is no mapping")
    letters = 0
    for number, (key, value) in enumerate(_entries(path, description)):
        letters += len(value) if isinstance(value, str) else 0
        if number > _ENTRIES or letters > _LETTERS:
            raise CheckpointError(path, "has a description that is too large")
        if not isinstance(value, _PLAIN):
            raise CheckpointError(path, f"has a description that is no plain data ({key}: {type(value).__name__})")
    for name in _NETWORKS:
        if isinstance(network := description.get(name), Mapping):
            _refuse_absurd_network(path, name, network)


def refuse_absurd_preprocessing(path: str | Path, preprocessing: Preprocessing) -> None:
    """Refuse slices so large that no memory holds them.

    Raises:
        CheckpointError: naming the size.
    """
    frame, image = preprocessing.frame_size_mm, preprocessing.image_size
    if max(image) > _LARGEST_IMAGE or not all(0 < size <= _LARGEST_FRAME_MM for size in frame):
        reason = f"has an absurd description (slices of {image} pixels and {frame} mm"
        raise CheckpointError(path, f"{reason}; the limits are {_LARGEST_IMAGE} and {_LARGEST_FRAME_MM:.0f})")


def _entries(path: str | Path, node: Any, key: str = "description", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield key and value of everything that holds nothing else; lists and mappings may hold themselves."""
    if depth > _DEPTH:
        raise CheckpointError(path, "has a description that is nested too deeply")
    if isinstance(node, Mapping):
        for name, child in node.items():
            yield key, name
            yield from _entries(path, child, str(name)[:80], depth + 1)
    elif isinstance(node, (list, tuple)):
        yield key, None
        for child in node:
            yield from _entries(path, child, key, depth + 1)
    else:
        yield key, node


def _refuse_absurd_network(path: str | Path, name: str, network: Mapping[Any, Any]) -> None:
    for key, value in network.items():
        if isinstance(value, (list, tuple)) and len(value) > _LONGEST:
            raise CheckpointError(path, f"has an absurd description ({name}: {key} has {len(value)} entries)")
        for _, number in _entries(path, value, str(key)):
            limit = _LARGEST_OF.get(str(key), _LARGEST)
            if isinstance(number, (int, float)) and not 0 <= number <= limit:  # NaN is refused too
                shown = str(number) if abs(number) < 1e18 else "a huge number"
                raise CheckpointError(
                    path, f"has an absurd description ({name}: {key} is {shown}, 0 to {limit} can be)"
                )
