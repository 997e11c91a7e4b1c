"""Rebuild a network from its description, and fill it only with weights that are exactly its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from utad_monai.data.preprocessing import Preprocessing
from utad_monai.errors import CheckpointError

Network = TypeVar("Network", bound=nn.Module)


def filled(path: str | Path, build: Callable[[], Network], weights: Any) -> Network:
    """Return a network with the given weights, in evaluation mode.

    It is built without memory first and given some when the weights fit, so a description cannot ask for more than its
    file holds; nothing random is drawn.

    Args:
        path: what errors name.
        build: makes the network.
        weights: its state dict.

    Raises:
        CheckpointError: when a weight is missing, unexpected, of another size or not finite.
    """
    with torch.device("meta"):
        network = build()
    _refuse_other_weights(path, network.state_dict(), weights)
    refuse_non_finite(path, weights)
    network.to_empty(device="cpu")
    network.load_state_dict(weights)
    return network.eval()


def fill(path: str | Path, network: nn.Module, weights: Any) -> None:
    """Put weights into an existing network.

    Raises:
        CheckpointError: when a weight is missing, unexpected, of another size or not finite.
    """
    _refuse_other_weights(path, network.state_dict(), weights)
    refuse_non_finite(path, weights)
    network.load_state_dict(weights)


def refuse_non_finite(path: str | Path, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        CheckpointError: naming the first of them.
    """
    damaged = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if damaged:
        raise CheckpointError(path, f"has weights that are NaN or infinite ({damaged[0]})", "go back to a sound one")


def _refuse_other_weights(path: str | Path, described: Mapping[str, Tensor], weights: Any) -> None:
    difference = _first_difference(described, weights)
    if difference:
        raise CheckpointError(path, f"does not fit its description ({difference})")


def _first_difference(described: Mapping[str, Tensor], weights: Any) -> str:
    """Return how a state dict differs from the described one, in a few words; empty when it does not."""
    if not isinstance(weights, Mapping):
        return "its state_dict is no mapping"
    if missing := [name for name in described if name not in weights]:
        return f"missing weight {missing[0]} in its state_dict"
    if unexpected := [str(name) for name in weights if name not in described]:
        return f"unexpected weight {unexpected[0][:80]!r} in its state_dict"
    differences = (_difference(name, described[name], weights[name]) for name in described)
    return next(filter(None, differences), "") or _sharing(weights.values())


def _difference(name: str, expected: Tensor, value: Any) -> str:
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.device.type == "meta":
        return f"{name} is no plain tensor"
    if value.shape != expected.shape or value.dtype != expected.dtype:
        return f"size mismatch of {name}: {_form(value)} instead of {_form(expected)}"
    return ""


def _sharing(weights: Collection[Tensor]) -> str:
    """Tell whether weights are views of less memory than they claim: a small file could then ask for any amount."""
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in weights}
    return "its weights share their memory" if sum(storages.values()) < sum(value.nbytes for value in weights) else ""


def _form(value: Tensor) -> str:
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"


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
