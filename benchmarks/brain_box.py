"""The brain box against the whole frame on the phantom: the preset's training, the same number of iterations and seeds.

python -m benchmarks.brain_box --seeds 6

Seeds are trained side by side, one processor core each; the sides of a seed after each other.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.paired import spread
from benchmarks.quality import COHORT, FRAME, MEASURES, Quality, preset_quality, train_preset
from utad_monai.allocator import keep_freed_memory
from utad_monai.metrics.image_quality import PROTOCOL
from utad_monai.processes import default_workers, worker_pool

WHOLE = "whole frame"
SIDES: Mapping[str, Mapping[str, Any]] = {
    "tight box": {},
    "brain box": {"frame_size_mm": [240.0, 200.0], "image_size": [96, 80]},
    WHOLE: {"frame_size_mm": list(FRAME.frame_size_mm), "image_size": list(FRAME.image_size)},
}
"""Pixels of one size. The brain box is what `--brain_box true` makes of the phantom in the whole frame; the tight one,
without room, is the preset's own frame."""


def box_against_frame(folder: Path, seeds: int) -> dict[str, Any]:
    """Train the preset on every side with some seeds; all are judged by the pixels of the tight box."""
    with worker_pool(default_workers(), _begin_worker) as pool:
        by_seed = list(pool.map(partial(train_sides, folder), range(seeds)))
    return compared({side: [sides[side] for sides in by_seed] for side in SIDES})


def train_sides(folder: Path, seed: int) -> dict[str, Quality]:
    """Return how good the preset becomes with a seed, and in how many seconds, on every side."""
    found: dict[str, Quality] = {}
    for side, overrides in SIDES.items():
        run = folder / f"{side.replace(' ', '_')}_{seed}"
        seconds = train_preset(run, seed, **overrides)
        found[side] = {"seconds": seconds, **preset_quality(run, seed)}
    return found


def _begin_worker() -> None:
    keep_freed_memory()  # as the bundles do
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # standard output is for the figures


def compared(rows: Mapping[str, Sequence[Quality]]) -> dict[str, Any]:
    """Return the means of every side, and how far it is from the whole frame seed by seed."""
    whole = rows[WHOLE]
    found: dict[str, Any] = {side: {name: fmean(row[name] for row in rows[side]) for name in MEASURES} for side in rows}
    for side in rows:
        if side != WHOLE:
            pairs = list(zip(rows[side], whole, strict=True))
            apart = {name: list(spread([ours[name] - theirs[name] for ours, theirs in pairs])) for name in MEASURES}
            faster = list(spread([theirs["seconds"] / ours["seconds"] for ours, theirs in pairs]))
            found[f"{side} against {WHOLE}"] = {"minus": apart, "times faster": faster}
    return {**found, "seeds": len(whole)}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = {"cohort": COHORT, "protocol": PROTOCOL, **box_against_frame(Path(name), options.seeds)}
    print(json.dumps(found, indent=4))


if __name__ == "__main__":
    main()
