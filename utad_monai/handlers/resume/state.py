"""States of a training on disk, each with its SHA-256 beside it: the newest sound one is found."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.engines import Trainer
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from utad_monai.errors import CheckpointError, UserError
from utad_monai.models import file_sha256, read_weights_only
from utad_monai.runtime.files import atomic_path, digest
from utad_monai.runtime.parallel import world_size

_logger = logging.getLogger(__name__)
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


_FORMAT = 1
"""Raised whenever the content of a state gets another form."""
_NAME = "iteration_{iteration:010d}{finished}.pt"
_FINISHED = "_finished"
"""Sorts after the state that the same iteration may have: it never replaces one, whose hash would then be wrong."""
_PATTERN = "iteration_" + 10 * "[0-9]" + "*.pt"
_KEPT = 2
_HASH = ".sha256"
"""Ending of the file beside a state, in the form of `sha256sum`; it is written last."""


class ResumeError(UserError, RuntimeError):
    """A state that a training cannot go on from."""

    def __init__(
        self,
        path: str | Path,
        reason: str,
        remedy: str = "give --resume never to begin anew, or another --output_dir",
    ) -> None:
        super().__init__(path, reason, remedy)


def save_state(folder: str | Path, iteration: int, content: Mapping[str, Any], finished: bool = False) -> Path:
    """Write a state, then remove others: the last two stay, or this one alone when the training is finished.

    A kill at any moment leaves at least the newest state that was there.

    Args:
        folder: folder of the states of one training.
        iteration: how far the training is; the order of the states.
        content: tensors and plain data.
        finished: whether the training is.

    Returns:
        The file.

    Raises:
        OSError: when it cannot be written; older states stay.
    """
    path = Path(folder) / _NAME.format(iteration=iteration, finished=_FINISHED if finished else "")
    # a file object, not a path: torch writes a path's name into the file, and the same state has the same bytes
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save({"format": _FORMAT, **content}, file)
    with atomic_path(_hash_of(path)) as temporary:
        temporary.write_text(f"{file_sha256(path)}  {path.name}\n", encoding="ascii")
    states = _states(folder)
    # what is newer was passed over as damaged when this training began
    kept = states[states.index(path) :][: 1 if finished else _KEPT]
    for other in states:
        if other not in kept:
            _remove(other)
    return path


def newest_sound_state(folder: str | Path) -> dict[str, Any] | None:
    """Return the content of the newest state that is whole; damaged ones are reported and passed over.

    Returns:
        The state; None when there is none at all.

    Raises:
        ResumeError: when there are states and none is sound.
    """
    paths = _states(folder)
    for path in paths:
        try:
            return _read(path)
        except CheckpointError as error:
            _logger.warning("%s; it is passed over", error)
    if paths:
        raise ResumeError(folder, f"holds {len(paths)} training states and none is sound")
    return None


def remove_states(folder: str | Path) -> None:
    """Remove all states of a training."""
    for path in _states(folder):
        _remove(path)


def iterations_done(folder: str | Path) -> tuple[int, bool]:
    """Return how far the newest state in a folder is, and whether its training is finished, by its name alone."""
    for path in _states(folder):
        return int(path.name.split("_")[1].split(".")[0]), path.stem.endswith(_FINISHED)
    return 0, False


def _states(folder: str | Path) -> list[Path]:
    """Return the states in a folder, the newest first."""
    return sorted(Path(folder).glob(_PATTERN), reverse=True)


def _remove(path: Path) -> None:
    _hash_of(path).unlink(missing_ok=True)  # first: a state without its hash counts as unfinished
    path.unlink(missing_ok=True)


def _hash_of(path: Path) -> Path:
    return path.with_name(path.name + _HASH)


def _read(path: Path) -> dict[str, Any]:
    remedy = "an older state is used"
    if not _hash_of(path).is_file():
        raise CheckpointError(path, f"is unfinished: there is no {_hash_of(path).name}", remedy)
    if not _hash_of(path).read_text(encoding="ascii", errors="replace").startswith(file_sha256(path)):
        raise CheckpointError(path, "is damaged: its content is not what was written", remedy)
    content = read_weights_only(path)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(path, f"is no training state of format {_FORMAT}", remedy)
    return content
