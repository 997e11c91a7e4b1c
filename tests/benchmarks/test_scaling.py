"""Two processes are compared with one, and waiting awake with sleeping, in turn."""

from __future__ import annotations

import pytest

from benchmarks import scaling
from benchmarks.scaling import Side


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> list[Side]:
    """Replace processes by their rates, and record who worked in which order."""
    order: list[Side] = []

    def together(_name: str, _work: str, side: Side, _seconds: float) -> float:
        order.append(side)
        return {Side.ONE: 10.0, Side.TWO: 18.0, Side.ASLEEP: 15.0}[side]

    monkeypatch.setattr(scaling, "_together", together)
    return order


def test_training_is_measured_awake_and_asleep_in_turn(run: list[Side]) -> None:
    figures = scaling.measure("demo", "training", rounds=2, seconds=1)
    assert figures["times_images_per_second"] == pytest.approx([1.8] * 3)
    assert figures["times_faster_by_waiting_awake"] == pytest.approx([1.2] * 3)
    assert run == [Side.ONE, Side.TWO, Side.ASLEEP, Side.ASLEEP, Side.TWO, Side.ONE]


def test_completion_sends_no_messages_to_wait_for(run: list[Side]) -> None:
    assert "times_faster_by_waiting_awake" not in scaling.measure("demo", "completion", rounds=1, seconds=1)
    assert run == [Side.ONE, Side.TWO]
