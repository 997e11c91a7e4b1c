"""The state of every random generator as tensors and plain data: what a checkpoint may hold."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable

RandomState = dict[str, Any]


def random_state() -> RandomState:
    """Return the states of Python's, NumPy's and torch's global generators, those of all GPUs among them."""
    version, numbers, gauss = random.getstate()
    return {
        "python": [version, torch.tensor(numbers, dtype=torch.int64), gauss],
        "numpy": _numpy_state(np.random.mtrand._rand),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set all global generators to a state that `random_state` returned; those of GPUs when there are as many."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers.tolist()), gauss))
    _restore_numpy(np.random.mtrand._rand, state["numpy"])
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def transform_state(transform: Any) -> list[RandomState]:
    """Return the state of every MONAI transform with random numbers of its own, at any depth, in order."""
    return [_numpy_state(found.R) for found in random_transforms(transform)]


def restore_transform_state(transform: Any, states: list[RandomState]) -> None:
    """Set the transforms to a state that `transform_state` returned.

    Raises:
        ValueError: when these are other transforms.
    """
    for found, state in zip(random_transforms(transform), states, strict=True):
        _restore_numpy(found.R, state)


def random_transforms(node: Any) -> Iterator[Randomizable]:
    """Yield all random transforms; a Compose is walked by its attributes: its length would seed them anew."""
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from random_transforms(item)
        return
    if isinstance(node, Randomizable):
        yield node
    for name, value in sorted(getattr(node, "__dict__", {}).items()):
        if isinstance(value, (list, tuple, Randomizable)) and name != "R":
            yield from random_transforms(value)


def _numpy_state(generator: np.random.RandomState) -> RandomState:
    kind, keys, position, has_gauss, gauss = generator.get_state(legacy=True)
    numbers = torch.from_numpy(np.asarray(keys).astype(np.int64))
    return {"kind": str(kind), "keys": numbers, "position": int(position), "gauss": [int(has_gauss), float(gauss)]}


def _restore_numpy(generator: np.random.RandomState, state: Mapping[str, Any]) -> None:
    has_gauss, gauss = state["gauss"]
    keys = state["keys"].numpy().astype(np.uint32)
    generator.set_state((state["kind"], keys, state["position"], has_gauss, gauss))
