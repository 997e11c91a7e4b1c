"""Preparing a cohort, drawing batches against a plain MONAI pipeline, and memory as the cohort grows.

python -m benchmarks.data --cases 4 --rounds 5

Phantom cases of 240x240x155 voxels of 1 mm; slices of the tight box at the demonstration's pixels.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import nibabel
import numpy as np
import torch
from monai.transforms import Compose, RandFlipd
from torch.utils.data import DataLoader

from benchmarks.cache_entries import grown_cohort, memory_of
from benchmarks.paired import figures_in, take_turns
from benchmarks.plain_pipeline import PlainPipeline
from benchmarks.training_step import SIZES, Rivals, our_cycle
from utad_monai.data import Case, EpochSampler, Preprocessing, SliceStore, UnpairedSlices, find_cases, prepare_slices
from utad_monai.keys import BatchKey
from utad_monai.phantom.cohort import write_phantom_cohort
from utad_monai.runtime.workers import keep_freed_memory

FLIP = Compose([RandFlipd(["image", "tumour_mask", "tumour_labels", "brain"], prob=0.5, spatial_axis=1)])

DEMO = Preprocessing(frame_size_mm=(200.0, 160.0), image_size=SIZES["demo"].tight_box_size)
"""The tight box: it lies inside every volume, and a plain crop cannot leave one. Its step is the shortest, too."""
BATCH = SIZES["demo"].batch_size
RIVAL_TOLERANCE = 0.05
"""Largest mean difference in the brain between both pipelines, in [-1, 1]: they average voxels with other weights."""
MEMORY_CASES = (10, 100, 1000)


def preparing(cases: Sequence[Case], folder: Path, rounds: int) -> dict[str, Any]:
    """Time the preparation of a cohort at the paper's frame, from files by one thread and two, and from the cache.

    Reading every file with nibabel is the least that a preparation can cost.
    """
    number = count()
    processor_seconds: list[float] = []

    def cold() -> None:
        begin = time.process_time()
        prepare_slices(cases, Preprocessing(), folder / f"cold{next(number)}", workers=1, progress=False)
        processor_seconds.append(time.process_time() - begin)

    def two_threads() -> None:
        prepare_slices(cases, Preprocessing(), folder / f"cold{next(number)}", workers=2, progress=False)

    def warm() -> None:
        prepare_slices(cases, Preprocessing(), folder / "cold0", workers=1, progress=False)

    runs = {"cold": cold, "two threads": two_threads, "warm": warm, "read": lambda: _read(cases)}
    timings = take_turns(runs, rounds)
    _same_entries(folder / "cold0", folder / "cold1")
    for one in folder.glob("cold*"):
        shutil.rmtree(one)
    return {
        "cases": len(cases),
        "cases_per_processor_second": len(cases) / median(processor_seconds),
        "cases_per_second_by_two_threads": len(cases) / timings["two threads"].median,
        "cases_per_second_warm": len(cases) / timings["warm"].median,
        "times_the_time_of_reading": list(timings["read"].ratio_to(timings["cold"])),
        "rounds": rounds,
    }


def _read(cases: Sequence[Case]) -> None:
    for case in cases:
        for path in (*case.images.values(), case.segmentation):
            np.asarray(nibabel.load(path).dataobj, dtype=np.float32)


def _same_entries(first: Path, second: Path) -> None:
    """Assert that two preparations gave the same bytes."""
    for path in sorted(first.rglob("*.npy")):
        if path.read_bytes() != (second / path.relative_to(first)).read_bytes():
            raise AssertionError(f"{path.name} of {path.parent.name} differs between two preparations")


def drawing(cases: Sequence[Case], store: SliceStore, folder: Path, rounds: int, batches: int) -> dict[str, Any]:
    """Time a number of batches against the rivals, which draw from the same files, and against a training step.

    Raises:
        AssertionError: when the pipelines do not give the same slice.
    """
    dataset = UnpairedSlices(store, list(store.cases.values()), tumour_fraction=0.7, transform=FLIP)
    rival = PlainPipeline(cases, DEMO, store)
    different = max(rival.difference(dataset, index) for index in range(BATCH))
    if different > RIVAL_TOLERANCE:
        raise AssertionError(f"slices differ by {different:.3f} on average: not the same data")
    drawn = batches * BATCH
    sampler = EpochSampler(dataset, drawn)
    ours = DataLoader(dataset, BATCH, sampler=sampler)
    theirs = {name: rival.loader(name, folder / name, dataset, drawn, BATCH) for name in ("persistent", "cached")}
    size = SIZES["demo"].in_tight_box()
    training = Rivals(size)
    trainer = training.ours()
    runs: dict[str, Callable[[], object]] = {name: _all_of(loader) for name, loader in theirs.items()}
    runs |= {"ours": _all_of(ours), "step": lambda: our_cycle(trainer, training.batch, size.critic_steps)}
    timings = take_turns(runs, rounds)
    return {
        "batches": batches,
        "batch_size": BATCH,
        "slice_difference": different,
        "slices_per_second": drawn / timings["ours"].median,
        "times_faster_than_persistent": list(timings["ours"].ratio_to(timings["persistent"])),
        "times_faster_than_cached": list(timings["ours"].ratio_to(timings["cached"])),
        "share_of_training_step": timings["ours"].median / batches / timings["step"].median,
        "rounds": rounds,
    }


def _all_of(loader: DataLoader[Any]) -> Callable[[], object]:
    def draw() -> None:
        for batch in loader:
            assert batch[BatchKey.IMAGE].shape[-2:] == DEMO.image_size

    return draw


def memory(entry: Path, folder: Path, batches: int, counts: Sequence[int] = MEMORY_CASES) -> dict[str, Any]:
    """Return the resident memory after drawing batches from cohorts of growing size, each in a process of its own.

    What counts is `anonymous_mb`, which the process owns. `file_mb` are pages of memory-mapped slices: the system's
    cache, shared by every process and given back when memory is short.
    """
    found = {}
    for number in counts:
        grown_cohort(entry, folder / str(number), number)
        command = [sys.executable, "-m", "benchmarks.data", "--memory-of", str(folder / str(number))]
        run = subprocess.run([*command, "--batches", str(batches)], check=True, capture_output=True, encoding="utf-8")
        found[str(number)] = figures_in(run.stdout)
        shutil.rmtree(folder / str(number))
    owned = [one["anonymous_mb"] for one in found.values()]
    return {"batches": batches, "cases": found, "growth": max(owned) / min(owned) - 1}


def measure(cohort: Path, number: int, rounds: int, batches: int, memory_batches: int) -> dict[str, Any]:
    """Measure everything on the first cases of a cohort."""
    cases = find_cases(cohort)[:number]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = prepare_slices(cases, DEMO, folder / "slices", progress=False)
        entry = next(iter(store.cases.values())).folder
        return {
            "preparing": preparing(cases, folder, rounds),
            "drawing": drawing(cases, store, folder, rounds, batches),
            "memory": memory(entry, folder / "grown", memory_batches),
        }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, help="BraTS cases; by default a phantom is written")
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=4, help="batches in one round of drawing")
    parser.add_argument("--batches", type=int, default=2000, help="batches before memory is measured")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as the bundles do
    if options.memory_of:
        result = memory_of(options.memory_of, DEMO, options.batches, BATCH)
    else:
        with tempfile.TemporaryDirectory() as name:
            cohort = options.cohort or write_phantom_cohort(name, options.cases, spacing_mm=1.0, progress=False)
            result = measure(cohort, options.cases, options.rounds, options.draws, options.batches)
    sys.stdout.write(json.dumps(result, indent=4) + "\n")


if __name__ == "__main__":
    main()
