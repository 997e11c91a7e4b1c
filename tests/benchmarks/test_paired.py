from __future__ import annotations

import time

import pytest
import torch

from benchmarks import paired
from benchmarks.paired import RivalProcess, Timing, count_flops, matrix_products, matrix_rate, take_turns


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


def test_a_rival_counts_its_processors_seconds_when_asked() -> None:
    rival = RivalProcess("-c", "import time; from benchmarks.paired import serve; serve(lambda: time.sleep(0.3))")
    (by_processor,) = take_turns({"asleep": rival}, rounds=1, of_processor=True)["asleep"].seconds
    (by_clock,) = take_turns({"asleep": rival}, rounds=1)["asleep"].seconds
    rival.peak_megabytes()
    assert by_processor < 0.1
    assert by_clock >= 0.3


def test_a_rival_that_ended_is_not_waited_for() -> None:
    rival = RivalProcess("-c", "import sys; sys.stdin.readline()")
    with pytest.raises(RuntimeError, match="ended with 0"):
        rival()


def test_convolutions_are_counted() -> None:
    network, image = torch.nn.Conv2d(2, 3, 3, padding=1), torch.zeros(1, 2, 4, 5)
    assert count_flops(lambda: network(image)) == 2 * (3 * 3 * 2) * 3 * (4 * 5)


def test_both_matrix_products_are_the_same_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "MATRIX", 64)
    by_blas, by_convolution = (product() for product in matrix_products().values())
    assert isinstance(by_blas, torch.Tensor)
    assert isinstance(by_convolution, torch.Tensor)
    torch.testing.assert_close(by_convolution.view(64, 64), by_blas)


def test_the_faster_product_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "MATRIX", 32)
    slow, fast = Timing((4.0, 4.0, 4.0)), Timing((1.0, 2.0, 3.0))
    assert matrix_rate(dict(zip(matrix_products(), (slow, fast), strict=True))) == 32**3
