from __future__ import annotations

import time

import pytest
import torch

from benchmarks.paired import RivalProcess, Timing, count_flops, take_turns


def test_ratios_are_taken_round_by_round() -> None:
    assert Timing((1.0, 2.0, 4.0)).ratio_to(Timing((2.0, 2.0, 16.0))) == (2.0, 1.0, 4.0)


def test_rivals_take_turns_in_changing_order() -> None:
    order: list[str] = []
    timings = take_turns({name: lambda name=name: order.append(name) for name in "ab"}, rounds=2)
    assert "".join(order) == "ab" + "ab" + "ba"
    assert all(len(timing.seconds) == 2 for timing in timings.values())


def test_a_rival_in_a_process_of_its_own_works_once_a_call() -> None:
    rival = RivalProcess("-c", "import time; from benchmarks.paired import serve; serve(lambda: time.sleep(0.3))")
    rival()
    begin = time.perf_counter()
    rival()
    assert time.perf_counter() - begin >= 0.3
    assert rival.peak_megabytes() > 10


def test_a_rival_that_ended_is_not_waited_for() -> None:
    rival = RivalProcess("-c", "import sys; sys.stdin.readline()")
    with pytest.raises(RuntimeError, match="ended with 0"):
        rival()


def test_convolutions_are_counted() -> None:
    network, image = torch.nn.Conv2d(2, 3, 3, padding=1), torch.zeros(1, 2, 4, 5)
    assert count_flops(lambda: network(image)) == 2 * (3 * 3 * 2) * 3 * (4 * 5)
