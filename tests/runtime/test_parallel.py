"""Gradients of two processes become one; a process that is alone is left alone."""

from __future__ import annotations

import math
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from ignite.handlers import TerminateOnNan
from torch import distributed, multiprocessing

from utad_monai.handlers import StopOnNonFinite, handlers_of_this_rank
from utad_monai.runtime.parallel import (
    DeviceError,
    average_gradients,
    chosen_device,
    local_device,
    rank,
    start,
    wait_awake,
    world_size,
)


def test_alone_this_is_rank_zero_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert (start(), rank(), world_size()) == (0, 0, 1)
    assert not distributed.is_initialized()


def test_alone_gradients_stay_as_they_are() -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.tensor([1.0, 2.0, 3.0])
    average_gradients(torch.optim.SGD([parameter]))
    assert parameter.grad.tolist() == [1, 2, 3]


def test_without_a_gpu_the_device_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert local_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_device_is_the_one_that_is_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device(name) == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:97", "gpu", ""])
def test_device_that_is_not_there_is_an_error_with_those_that_are(name: str) -> None:
    with pytest.raises(DeviceError, match="choose auto or one of cpu") as error:
        chosen_device(name)
    assert error.value.exit_code == 2


class _Message:
    """A message that arrives after so many looks, and notes how it was waited for."""

    def __init__(self, looks: float) -> None:
        self.looks = looks
        self.looked = 0
        self.waited = 0

    def is_completed(self) -> bool:
        self.looked += 1
        return self.looked > self.looks

    def wait(self) -> None:
        self.waited += 1


def _waited_for(looks: float, device: str = "cpu") -> _Message:
    message = _Message(looks)
    wait_awake(cast(distributed.Work, message), torch.device(device))
    return message


def test_a_message_that_arrives_soon_is_waited_for_awake() -> None:
    message = _waited_for(looks=3)
    assert (message.looked, message.waited) == (4, 1)


def test_a_message_that_is_long_in_coming_is_slept_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count()
    monkeypatch.setattr("utad_monai.runtime.parallel.time.monotonic", lambda: next(clock) / 100)
    message = _waited_for(looks=math.inf)
    assert (message.looked, message.waited) == (5, 1)


def test_on_a_gpu_the_stream_waits() -> None:
    message = _waited_for(looks=3, device="cuda")
    assert (message.looked, message.waited) == (0, 1)


def _two(number: int, rendezvous: str, results: Any) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=number, world_size=2)
    parameter = torch.nn.Parameter(torch.ones(2))
    unused = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 10.0]) * (number + 1)
    large = [torch.nn.Parameter(torch.zeros(2, 2**18, 2)), torch.nn.Parameter(torch.zeros(1, 2, 2**10, 2**9))]
    large[1].data = large[1].data.to(memory_format=torch.channels_last)
    for one in large:
        one.grad = torch.full_like(one, 2.0) * (number + 1)
        one.grad[..., 0] = number
    average_gradients(torch.optim.SGD([parameter, *large, unused]))
    means = [(float(one.grad[..., 0].mean()), float(one.grad[..., 1:].mean())) for one in large if one.grad is not None]
    assert means == [(0.5, 3.0)] * 2
    kept = handlers_of_this_rank([StopOnNonFinite(), TerminateOnNan()])
    results[number] = (parameter.grad.tolist(), unused.grad is None, [type(handler).__name__ for handler in kept])
    distributed.destroy_process_group()


def test_two_processes_share_the_mean_gradient_and_the_second_only_the_training_handlers(tmp_path: Path) -> None:
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        # forked, not spawned: a test module has no importable name of its own
        arguments = (str(tmp_path / "rendezvous"), results)
        multiprocessing.start_processes(_two, arguments, nprocs=2, start_method="fork")
        assert results[0] == ([1.5, 15.0], True, ["TrainAsOne", "StopOnNonFinite", "TerminateOnNan"])
        assert results[1] == ([1.5, 15.0], True, ["TrainAsOne", "StopOnNonFinite"])
