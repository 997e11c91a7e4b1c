"""Trainings of the preset that differ in a few settings, with the same seeds: each seed is compared with itself.

Seeds are trained side by side, one processor core each; the sides of a seed after each other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.paired import spread
from benchmarks.quality import MEASURES, Quality, preset_quality, train_preset
from utad_monai.metrics.statistics import estimate
from utad_monai.runtime.workers import default_workers, keep_freed_memory, worker_pool

Sides = Mapping[str, Mapping[str, Any]]
"""What each side changes in the preset, by the side's name."""


def over_seeds(
    folder: Path, sides: Sides, dataset_dir: Path, box: tuple[int, int], seeds: int
) -> dict[str, list[Quality]]:
    """Return how good the preset becomes on every side, and in how many seconds, seed by seed.

    Args:
        folder: receives the trainings.
        sides: what is compared.
        dataset_dir: cohort that all are trained on.
        box: height and width in pixels around the centre, in which all are judged.
        seeds: how many, from 0.
    """
    with worker_pool(default_workers(), _begin_worker) as pool:
        by_seed = list(pool.map(partial(train_sides, folder, sides, dataset_dir, box), range(seeds)))
    return {side: [of_seed[side] for of_seed in by_seed] for side in sides}


def train_sides(folder: Path, sides: Sides, dataset_dir: Path, box: tuple[int, int], seed: int) -> dict[str, Quality]:
    """Return the quality and the seconds of every side with one seed."""
    found: dict[str, Quality] = {}
    for side, overrides in sides.items():
        run = folder / f"{side.replace(' ', '_')}_{seed}"
        seconds = train_preset(run, seed, dataset_dir=str(dataset_dir), **overrides)
        found[side] = {"seconds": seconds, **preset_quality(run, seed, dataset_dir, box)}
        print(f"seed {seed}, {side}: {found[side]}", file=sys.stderr)
    return found


def _begin_worker() -> None:
    keep_freed_memory()  # as the bundles do
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # standard output is for the figures


def compared(rows: Mapping[str, Sequence[Quality]], reference: str) -> dict[str, Any]:
    """Return the means of every side, and how far it is from the reference seed by seed."""
    of_reference = rows[reference]
    found: dict[str, Any] = {side: {name: fmean(row[name] for row in rows[side]) for name in MEASURES} for side in rows}
    for side in rows:
        if side != reference:
            pairs = list(zip(rows[side], of_reference, strict=True))
            apart = {name: [ours[name] - theirs[name] for ours, theirs in pairs] for name in MEASURES}
            found[f"{side} against {reference}"] = {
                "minus": {name: list(spread(values)) for name, values in apart.items()},
                "mean minus (95 % bootstrap interval over seeds)": {
                    name: list(astuple(estimate(values))[:3]) for name, values in apart.items()
                },
                "times faster": list(spread([theirs["seconds"] / ours["seconds"] for ours, theirs in pairs])),
            }
    return {**found, "seeds": len(of_reference)}
