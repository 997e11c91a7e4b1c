"""Ways of waiting are compared alone and beside a process that never rests, in turn."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from benchmarks import busy_machine
from benchmarks.busy_machine import Company, Side, company


def test_ways_take_turns_and_variables_of_the_user_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        order.append(command[command.index("--side") + 1])
        set_here = {name: value for name, value in options["env"].items() if name.startswith(("OMP_", "GOMP_"))}
        assert set_here == ({"GOMP_SPINCOUNT": "3000"} if order[-1] == Side.BRIEFLY else {})
        rates = {Side.AWAKE: 0.5, Side.BRIEFLY: 4.0, Side.ONE: 5.0}
        return subprocess.CompletedProcess(command, 0, f"{rates[Side(order[-1])]}\n", "")

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(busy_machine.subprocess, "run", run)
    figures = busy_machine.measure(seconds=1, rounds=2)
    assert order == [*Side, *Side, *reversed(Side), *reversed(Side)]
    for which in Company:
        assert figures[which]["times faster than as torch waits"] == [8.0] * 3
        assert figures[which]["cycles per second"]["one thread"] == 5.0


def test_company_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    with company(Company.ALONE):
        pass
    started = subprocess.Popen
    others: list[Any] = []

    class Popen(started):  # type: ignore[misc,valid-type]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            others.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    with company(Company.BUSY):
        assert others[0].poll() is None
    assert others[0].returncode is not None
