"""What another busy program costs a training: iterations a second alone, and beside a process that never rests.

python -m benchmarks.busy_machine --seconds 10 --rounds 3

The training step of the demonstration's teacher, in processes of their own that take turns: with threads that wait as
torch's do, as the command lets them wait (`wait_briefly`), and on one thread. Both ways of waiting compute the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from statistics import median
from typing import Any

import torch

from benchmarks.paired import spread
from benchmarks.training_step import SIZES, Rivals, our_cycle
from utad_monai.runtime.openmp import BRIEFLY, SPIN_COUNT
from utad_monai.runtime.workers import keep_freed_memory

SIZE = "demo"


class Side(StrEnum):
    """How a training's threads wait for each other."""

    AWAKE = "as torch waits"
    BRIEFLY = "as the command waits"
    ONE = "one thread"


class Company(StrEnum):
    """What else runs."""

    ALONE = "alone"
    BUSY = "beside a busy process"


def rate(side: Side, seconds: float) -> float:
    """Return the training cycles per second of this process, without its start."""
    if side is Side.ONE:
        torch.set_num_threads(1)
    keep_freed_memory()  # as the bundles do
    rivals = Rivals(SIZES[SIZE].in_box())
    trainer = rivals.ours()
    our_cycle(trainer, rivals.batch, rivals.size.critic_steps)
    begin, cycles = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        our_cycle(trainer, rivals.batch, rivals.size.critic_steps)
        cycles += 1
    return cycles / (time.perf_counter() - begin)


@contextmanager
def company(which: Company) -> Iterator[None]:
    """Let a process that never rests run beside the block, or none."""
    if which is Company.ALONE:
        yield
        return
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def measure(seconds: float, rounds: int) -> dict[str, Any]:
    """Measure every way of waiting in every company, in turn."""
    rates: dict[Company, dict[Side, list[float]]] = {which: {side: [] for side in Side} for which in Company}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    for turn in range(rounds):
        for which in Company:
            for side in list(Side)[:: 1 if turn % 2 == 0 else -1]:
                command = [sys.executable, "-m", "benchmarks.busy_machine", "--side", side, "--seconds", str(seconds)]
                spins = {SPIN_COUNT: str(BRIEFLY)} if side is Side.BRIEFLY else {}
                with company(which):
                    done = subprocess.run(
                        command, check=True, stdout=subprocess.PIPE, encoding="utf-8", env=environment | spins
                    )
                rates[which][side].append(float(done.stdout))
    return {"threads": torch.get_num_threads(), "rounds": rounds, **{w: _figures(found) for w, found in rates.items()}}


def _figures(rates: Mapping[Side, list[float]]) -> dict[str, Any]:
    times = [ours / theirs for ours, theirs in zip(rates[Side.BRIEFLY], rates[Side.AWAKE], strict=True)]
    return {
        "cycles per second": {str(side): median(values) for side, values in rates.items()},
        "times faster than as torch waits": list(spread(times)),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=Side, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        sys.stdout.write(f"{rate(options.side, options.seconds)}\n")
    else:
        sys.stdout.write(json.dumps(measure(options.seconds, options.rounds), indent=4) + "\n")


if __name__ == "__main__":
    main()
