"""What tumour guidance is worth on the phantom: the preset's teacher with and without it, the same seeds.

python -m benchmarks.guidance --seeds 4
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.quality import COHORT, SIZE
from benchmarks.seeds import Sides, compared, over_seeds
from utad_monai.metrics.image_quality import PROTOCOL
from utad_monai.phantom.cohort import default_dataset_dir

WITHOUT = "without guidance"
SIDES: Sides = {"preset": {}, WITHOUT: {"tumour_guidance_weight": 0.0}}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = over_seeds(Path(name), SIDES, Path(default_dataset_dir()), SIZE.tight_box_size, options.seeds)
    print(json.dumps({"cohort": COHORT, "protocol": PROTOCOL, **compared(rows, WITHOUT)}, indent=4))


if __name__ == "__main__":
    main()
