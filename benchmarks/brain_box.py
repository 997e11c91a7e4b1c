"""The brain box against the whole frame on the phantom: the preset's training, the same number of iterations and seeds.

python -m benchmarks.brain_box demo --seeds 6

Tumour guidance is off on every side: what is compared are frames, and the figures are of the paper's losses.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.quality import COHORT
from benchmarks.seeds import compared, over_seeds
from benchmarks.training_step import SIZES, SWITCHES
from utad_monai.metrics.image_quality import PROTOCOL
from utad_monai.phantom import write_phantom_cohort

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
        frame = {"frame_size_mm": frame_size_mm, "image_size": list(image_size)}
        return {**frame, "tumour_guidance_weight": 0.0, **self.switches}


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
frame, and the preset's own frame; the tight one has no room; the roomy one has at least 17 mm of it on each side."""


def box_against_frame(folder: Path, setting: Setting, seeds: int) -> dict[str, Any]:
    """Train the preset on every side with some seeds, on a phantom in the folder."""
    phantom = write_phantom_cohort(folder / "phantom", brain_size=setting.brain_size, progress=False)
    sides = {side: setting.overrides(side) for side in setting.sides}
    judged = next(iter(setting.sides.values()))
    return compared(over_seeds(folder, sides, phantom, judged, seeds), WHOLE)


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
