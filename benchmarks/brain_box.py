"""The brain box against the whole frame on the phantom: the preset's training, the same number of iterations and seeds.

python -m benchmarks.brain_box --seeds 4
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.paired import spread
from benchmarks.quality import COHORT, FRAME, MEASURES, Quality, preset_quality, train_preset
from utad_monai.allocator import keep_freed_memory
from utad_monai.metrics.image_quality import PROTOCOL

WHOLE = "whole frame"
SIDES: Mapping[str, Mapping[str, Any]] = {
    "brain box": {},
    "box with room": {"frame_size_mm": [240.0, 200.0], "image_size": [96, 80]},
    WHOLE: {"frame_size_mm": list(FRAME.frame_size_mm), "image_size": list(FRAME.image_size)},
}
"""Pixels of one size; the preset's own frame is the phantom's brain box."""


def box_against_frame(folder: Path, seeds: int) -> dict[str, Any]:
    """Train the preset on every side with some seeds; all are judged by the pixels of the brain box."""
    rows: dict[str, list[Quality]] = {side: [] for side in SIDES}
    for seed in range(seeds):
        for side, overrides in SIDES.items():
            run = folder / f"{side.replace(' ', '_')}_{seed}"
            seconds = train_preset(run, seed, **overrides)
            rows[side].append({"seconds": seconds, **preset_quality(run, seed)})
    return compared(rows)


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
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    keep_freed_memory()  # as the bundles do
    # standard output is for the figures
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        found = {"cohort": COHORT, "protocol": PROTOCOL, **box_against_frame(Path(name), options.seeds)}
    print(json.dumps(found, indent=4))


if __name__ == "__main__":
    main()
