"""What must be the same for a training to go on from a state: architecture, data, settings, but not how long."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from monai.engines import Trainer
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from utad_monai.runtime.files import digest
from utad_monai.runtime.parallel import world_size

_ENTRIES_SHOWN = 4


def training_identity(trainer: Trainer, stateful: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide what a training computes, as plain data.

    Args:
        trainer: before it begins; it and its data set may add an `identity()` of their own.
        stateful: networks and optimisers, by name; other things are passed over.
    """
    loader = training_loader(trainer)
    identity: dict[str, Any] = {
        "processes": world_size(),
        "batch_size": loader.batch_size,
        "iterations per epoch": trainer.state.epoch_length,
    }
    for name, part in stateful.items():
        identity.update(_of_part(name, part))
    for own in (trainer, loader.dataset):
        identity.update(own.identity() if hasattr(own, "identity") else {})
    return json.loads(json.dumps(identity))  # type: ignore[no-any-return]  # as it comes back from a file: no tuples


def training_loader(trainer: Trainer) -> DataLoader[Any]:
    """Return the loader of a trainer.

    Raises:
        TypeError: when it iterates over something else, which nobody can put back to a position.
    """
    if not isinstance(trainer.data_loader, DataLoader):
        raise TypeError(f"a torch DataLoader is needed, got {type(trainer.data_loader).__name__}")
    return trainer.data_loader


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two identities, one phrase each, the first few."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    found = [f"{name} was {before.get(name)}, is {now.get(name)}" for name in names[:_ENTRIES_SHOWN]]
    return found + (["and more"] if len(names) > _ENTRIES_SHOWN else [])


def _of_part(name: str, part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, nn.Module):
        yield f"{name} (layers)", digest([(key, list(value.shape)) for key, value in part.state_dict().items()])
    if isinstance(part, Optimizer):
        group = part.param_groups[0]
        yield f"{name} learning rate", group.get("initial_lr", group["lr"])
        for key, value in group.items():
            if key not in ("params", "lr", "initial_lr"):
                yield f"{name} {key}", value
