"""Several processes on one training run, as torchrun starts them.

Gradients are averaged after backward instead of wrapping networks in `DistributedDataParallel`: critics are called
twice and differentiated twice in one step, and the wrapper counts on gradients that come once, by `backward` alone.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from utad_monai.errors import UserError

Value = TypeVar("Value")
_BUCKET_ELEMENTS = 2**19
"""So many gradients travel in one message: one message a tensor is slow. A larger tensor travels alone, uncopied."""
_BUCKETS_ON_THE_WAY = 4
"""So many messages travel while the next is packed; all at once would need as much memory again."""
_AWAKE_SECONDS = 0.05
"""So long a process stays awake for a message; who is later than that is busy with something else."""


def start() -> int:
    """Join the process group that torchrun describes in the environment; return this process's rank.

    Without torchrun nothing happens and the rank is 0.
    """
    if "WORLD_SIZE" in os.environ and not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return rank()


def stop() -> None:
    """Leave the process group, if there is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def rank() -> int:
    """Return the number of this process, 0 when it is alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Return how many processes train together, 1 when this one is alone."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def local_device() -> torch.device:
    """Return this process's own GPU, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


AUTO = "auto"
"""The word for the device that suits: this process's GPU where CUDA has one, else the CPU."""


class DeviceError(UserError, ValueError):
    """A device that this machine does not have."""

    exit_code = 2


def chosen_device(name: str = AUTO) -> torch.device:
    """Return the device that a user names.

    Args:
        name: `auto`, `cpu`, `cuda` (this process's own GPU), `cuda:1`, or `mps`. Apple's GPU is never chosen by `auto`:
            nothing here was measured on one.

    Raises:
        DeviceError: naming the devices that there are.
    """
    if name == AUTO:
        return local_device()
    if not has_device(name):
        raise DeviceError("", f"this machine has no device {name}", f"choose {AUTO} or one of {', '.join(devices())}")
    return local_device() if name == "cuda" else torch.device(name)


def devices() -> list[str]:
    """Return the names of this machine's devices."""
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count())), *mps]


def has_device(device: Any) -> bool:
    """Tell whether this machine has a device."""
    try:
        return device is not None and torch.empty(0, device=device).device.type != "meta"
    except (RuntimeError, AssertionError, TypeError, ValueError):  # torch without CUDA asserts that it has it
        return False


def average_gradients(optimizer: Optimizer) -> None:
    """Replace every gradient of an optimiser's parameters by its mean over all processes."""
    if world_size() == 1:
        return
    on_the_way: deque[tuple[list[Tensor], Tensor, distributed.Work]] = deque()
    for gradients in _buckets(_gradients(optimizer)):
        together = _in_a_row(gradients)
        on_the_way.append((gradients, together, distributed.all_reduce(together, async_op=True)))
        if len(on_the_way) == _BUCKETS_ON_THE_WAY:
            _unpack(*on_the_way.popleft())
    while on_the_way:
        _unpack(*on_the_way.popleft())


def _in_a_row(gradients: list[Tensor]) -> Tensor:
    """Return the values of gradients `(N,)`; a single one shares its memory."""
    rows = [gradient.flatten() for gradient in gradients]
    return rows[0] if len(rows) == 1 else torch.cat(rows)


@torch.no_grad()
def _unpack(gradients: list[Tensor], together: Tensor, message: distributed.Work) -> None:
    """Wait for the sum of a bucket, and give every gradient its mean."""
    wait_awake(message, together.device)
    for gradient, total in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
        torch.div(total.view(gradient.shape), world_size(), out=gradient)


def wait_awake(message: distributed.Work, device: torch.device) -> None:
    """Wait for a message between processors without falling asleep, but for one that is long in coming.

    A core that sleeps wakes up late, on virtual machines above all: later than a message of some kilobytes arrives.
    The threads that carry it are given way. On a GPU waiting is a matter of its stream.
    """
    give_up = time.monotonic() + _AWAKE_SECONDS
    while device.type == "cpu" and not message.is_completed() and time.monotonic() < give_up:
        os.sched_yield()
    message.wait()


@torch.no_grad()
def share_weights(network: nn.Module) -> None:
    """Give a network on every process the weights and statistics that the first process has."""
    if world_size() > 1:
        for value in network.state_dict().values():
            distributed.broadcast(value, src=0)


def from_every_process(value: Value) -> list[Value]:
    """Return the value of each process, in order of rank; every process must call it."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for gradient in gradients:
        if gradient.numel() >= _BUCKET_ELEMENTS:
            yield [gradient]
            continue
        bucket.append(gradient)
        if sum(kept.numel() for kept in bucket) >= _BUCKET_ELEMENTS:
            yield bucket
            bucket = []
    if bucket:
        yield bucket


def _gradients(optimizer: Optimizer) -> Iterable[Tensor]:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                yield parameter.grad
