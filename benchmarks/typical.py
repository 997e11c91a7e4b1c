"""The typical brain intensities that come with the package: means over patients, none of whom can be told from them.

python -m benchmarks.typical COHORT --split S [--write FILE]

For each modality the mean distribution (of quantiles) of normalised healthy brain over the training patients of a
split. `--write` keeps them (utad_monai/data/typical_intensities.json).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from utad_monai.apps.complete.intensities import measure_cohort
from utad_monai.data import Preprocessing, look_for_cases
from utad_monai.keys import Split
from utad_monai.runtime.files import read_table, write_json

FEWEST_PATIENTS = 10
"""Fewer would say too much about one of them."""


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--split", type=Path, required=True, help="a table of cases and splits")
    parser.add_argument("--write", type=Path, help="a JSON file")
    options = parser.parse_args()
    table = read_table(options.split)
    train = set(table[table["split"] == Split.TRAIN]["case"])
    cases = [case for case in look_for_cases(options.cohort).cases if case.case_id in train]
    _, histograms = measure_cohort(cases, Preprocessing())
    if any(histogram.patients < FEWEST_PATIENTS for histogram in histograms.values()):
        raise SystemExit(f"fewer than {FEWEST_PATIENTS} patients show a modality")
    content = {
        str(modality): {"patients": histogram.patients, "cdf": [round(share, 4) for share in histogram.cdf]}
        for modality, histogram in histograms.items()
    }
    if options.write:
        write_json(options.write, content)
    print({modality: entry["patients"] for modality, entry in content.items()})


if __name__ == "__main__":
    main()
