"""The brain box against the whole frame on the phantom: the preset's training, the same number of iterations and seeds.

python -m benchmarks.brain_box demo --seeds 6

Seeds are trained side by side, one processor core each; the sides of a seed after each other.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.paired import spread
from benchmarks.quality import COHORT, MEASURES, Quality, preset_quality, train_preset
from benchmarks.training_step import SIZES, SWITCHES
from utad_monai.allocator import keep_freed_memory
from utad_monai.data import write_phantom_cohort
from utad_monai.metrics.image_quality import PROTOCOL
from utad_monai.metrics.statistics import estimate
from utad_monai.processes import default_workers, worker_pool

WHOLE = "whole frame"
BRATS_BRAIN_SIZE = 0.93
"""Mean length of the brains of 18 BraTS cases, in lengths of the template's: 169 x 139 mm (anterior-posterior x
left-right), the largest 179 x 146 mm; the phantom's own are 184 x 147 mm, the largest 200 x 156 mm."""


@dataclass(frozen=True)
class Setting:
    """A phantom, a size of pixels, and the frames that are compared on them.

    Attributes:
        brain_size: mean length of the phantom's brains, in lengths of the template's.
        pixel_mm: height and width of a pixel in mm.
        sides: height and width of the frames in pixels. All are judged by the pixels of the first, the smallest.
        switches: what is changed in the preset on every side.
    """

    brain_size: float
    pixel_mm: float
    sides: Mapping[str, tuple[int, int]]
    switches: Mapping[str, Any] = field(default_factory=dict)

    def overrides(self, side: str) -> dict[str, Any]:
        """Return what a side changes in the preset."""
        image_size = self.sides[side]
        frame_size_mm = [self.pixel_mm * pixels for pixels in image_size]
        return {"frame_size_mm": frame_size_mm, "image_size": list(image_size), **self.switches}


_PLAIN: Mapping[str, Setting] = {
    "demo": Setting(
        brain_size=1.0,
        pixel_mm=2.5,
        sides={
            "tight box": SIZES["demo"].tight_box_size,
            "brain box": SIZES["demo"].box_size,
            WHOLE: SIZES["demo"].image_size,
        },
    ),
    "small": Setting(
        brain_size=BRATS_BRAIN_SIZE,
        pixel_mm=1.875,
        sides={"roomy box": (128, 96), WHOLE: SIZES["small"].image_size},
    ),
}
SETTINGS = {**_PLAIN, **{f"{name} switched": replace(one, switches=SWITCHES) for name, one in _PLAIN.items()}}
"""The networks are always the preset's. The brain box is what `--brain_box true` makes of the phantom in the whole
frame; the tight one, without room, is the preset's own frame; the roomy one has at least 17 mm of room on each side."""


def box_against_frame(folder: Path, setting: Setting, seeds: int) -> dict[str, Any]:
    """Train the preset on every side with some seeds, on a phantom in the folder."""
    write_phantom_cohort(folder / "phantom", brain_size=setting.brain_size, progress=False)
    with worker_pool(default_workers(), _begin_worker) as pool:
        by_seed = list(pool.map(partial(train_sides, folder, setting), range(seeds)))
    return compared({side: [sides[side] for sides in by_seed] for side in setting.sides})


def train_sides(folder: Path, setting: Setting, seed: int) -> dict[str, Quality]:
    """Return how good the preset becomes with a seed, and in how many seconds, on every side."""
    found: dict[str, Quality] = {}
    phantom, judged = folder / "phantom", next(iter(setting.sides.values()))
    for side in setting.sides:
        run = folder / f"{side.replace(' ', '_')}_{seed}"
        seconds = train_preset(run, seed, dataset_dir=str(phantom), **setting.overrides(side))
        found[side] = {"seconds": seconds, **preset_quality(run, seed, phantom, judged)}
        print(f"seed {seed}, {side}: {found[side]}", file=sys.stderr)
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
            apart = {name: [ours[name] - theirs[name] for ours, theirs in pairs] for name in MEASURES}
            found[f"{side} against {WHOLE}"] = {
                "minus": {name: list(spread(values)) for name, values in apart.items()},
                "mean minus (95 % bootstrap interval over seeds)": {
                    name: list(astuple(estimate(values))[:3]) for name, values in apart.items()
                },
                "times faster": list(spread([theirs["seconds"] / ours["seconds"] for ours, theirs in pairs])),
            }
    return {**found, "seeds": len(whole)}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SETTINGS)
    parser.add_argument("--seeds", type=int, default=6)
    options = parser.parse_args()
    setting = SETTINGS[options.size]
    with tempfile.TemporaryDirectory() as name:
        found = {
            "cohort": COHORT,
            "brain_size": setting.brain_size,
            "pixel_mm": setting.pixel_mm,
            "switches": setting.switches,
            "protocol": PROTOCOL,
            **box_against_frame(Path(name), setting, options.seeds),
        }
    print(json.dumps(found, indent=4))


if __name__ == "__main__":
    main()
