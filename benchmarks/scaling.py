"""Images per second of two processes with one thread each, as a multiple of one process with one thread.

Every process has the bundles' batch of 8 slices, as `bundles/multi_gpu.json` gives it, in the brain box with its room,
which is the demonstration's own frame.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import distributed

import utad_monai.runtime.parallel
from benchmarks.paired import spread
from benchmarks.training_step import SIZES, Rivals, Size, our_cycle
from utad_monai.handlers import TrainAsOne
from utad_monai.keys import BatchKey
from utad_monai.runtime.parallel import stop
from utad_monai.runtime.workers import keep_freed_memory

WORK = ("training", "completion")
OWN_BATCH = 8


class Side(StrEnum):
    """Who works."""

    ONE = "1"
    TWO = "2"
    ASLEEP = "2 that sleep while they wait"


def rate(work: str, size: Size, seconds: float) -> float:
    """Return the images per second of this process, without its start.

    Completion's processes share nothing but the machine; a slice through the image decoder is its unit.
    """
    torch.set_num_threads(1)
    keep_freed_memory()  # as the bundles do
    run, images = _training(size) if work == "training" else _completion(size)
    begin = time.perf_counter()
    run()  # nothing is allocated or planned anew after this
    cycles = _agreed(max(1, round(seconds / (time.perf_counter() - begin))))
    begin = time.perf_counter()
    for _ in range(cycles):
        run()
    return cycles * images / (time.perf_counter() - begin)


def _agreed(number: int) -> int:
    """Let processes that run together do the same number of cycles; they begin at the same time."""
    together = torch.tensor(number)
    if distributed.is_initialized():
        distributed.all_reduce(together, distributed.ReduceOp.MAX)
    return int(together)


def _training(size: Size) -> tuple[Callable[[], object], int]:
    rivals = Rivals(size)
    trainer = rivals.ours()
    if distributed.is_initialized():
        TrainAsOne()(trainer)
    return lambda: our_cycle(trainer, rivals.batch, size.critic_steps), size.batch_size * size.critic_steps


@torch.no_grad()
def _completion(size: Size) -> tuple[Callable[[], object], int]:
    rivals = Rivals(size)
    generator, image = rivals.generator.eval(), rivals.batch[BatchKey.IMAGE]
    target = rivals.batch[BatchKey.TARGET_MODALITY]

    @torch.no_grad()
    def run() -> object:
        return generator(image, image, target, with_tumour_image=False)

    return run, size.batch_size


def measure(name: str, work: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Compare one process with two, and two that wait awake with two that sleep while they wait, in turn."""
    sides = [Side.ONE, Side.TWO, Side.ASLEEP] if work == "training" else [Side.ONE, Side.TWO]
    rates: dict[Side, list[float]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            rates[side].append(_together(name, work, side, seconds))
    figures: dict[str, Any] = {"times_images_per_second": _times(rates[Side.TWO], rates[Side.ONE])}
    if Side.ASLEEP in rates:
        figures["times_faster_by_waiting_awake"] = _times(rates[Side.TWO], rates[Side.ASLEEP])
    return figures | {
        "images_per_second": {str(side): median(values) for side, values in rates.items()},
        "rounds": rounds,
    }


def _times(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return list(spread([one / other for one, other in zip(ours, theirs, strict=True)]))


def _together(name: str, work: str, side: Side, seconds: float) -> float:
    """Return the summed images per second of processes that begin together."""
    processes = 1 if side == Side.ONE else 2
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.scaling", name, "--work", work, "--seconds", str(seconds)]
        command += ["--asleep"] if side == Side.ASLEEP else []
        command += ["--rendezvous", str(Path(folder) / "rendezvous"), "--processes", str(processes), "--rank"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        started = [
            subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, encoding="utf-8", env=environment)
            for number in range(processes)
        ]
        return sum(float(process.communicate()[0]) for process in started)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--work", choices=WORK)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--rank", type=int)
    parser.add_argument("--rendezvous")
    parser.add_argument("--asleep", action="store_true", help="wait for messages as torch does")
    given = parser.parse_args()
    size = replace(SIZES[given.size].in_box(), batch_size=OWN_BATCH)
    if given.rank is not None:
        if given.asleep:
            utad_monai.runtime.parallel._AWAKE_SECONDS = 0.0
        if given.processes > 1:
            where = f"file://{given.rendezvous}"
            distributed.init_process_group("gloo", init_method=where, rank=given.rank, world_size=given.processes)
        sys.stdout.write(f"{rate(given.work, size, given.seconds)}\n")
        stop()
    else:
        chosen = [given.work] if given.work else WORK
        found: dict[str, Any] = {"image_size": list(size.image_size), "batch_size": size.batch_size}
        found |= {work: measure(given.size, work, given.rounds, given.seconds) for work in chosen}
        sys.stdout.write(json.dumps(found, indent=4) + "\n")
