"""Rebuild a network from its description, and fill it only with weights that are exactly its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

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
