"""How images of each modality look, and how many wrong names `check` would notice by it.

python -m benchmarks.roles COHORT [--split S] [--write FILE]

Profiles are fitted on the training patients, each of whom is judged by those of the others; all other patients by all
of them. An image takes the name of another modality, whose own image and whose own name are absent: every ordered
pair. Right images are judged in every combination of one to three. `--write` keeps the profiles
(utad_monai/data/quality/roles.json).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from pathlib import Path

import numpy as np

from utad_monai.data import Preprocessing, load_case, look_for_cases
from utad_monai.data.quality.wrong_role import CaseLooks, Floats, RoleProfiles, case_looks, suspected_in
from utad_monai.keys import Modality, Split
from utad_monai.runtime.files import read_table, write_json

_SHRINKAGE = 0.2
"""Share of the covariance that is kept on its diagonal alone: few patients say little of 190 covariances."""
_LEAST_VARIANCE = 1e-4
_LEAST_SPREAD = 0.05


def fit_role_profiles(cases: Sequence[CaseLooks]) -> RoleProfiles:
    """Average what was measured on patients, one case of each, with all four images."""
    seen = np.array([[case.images[modality] for modality in Modality] for case in cases])
    around = (seen - seen.mean(axis=0)).reshape(-1, seen.shape[2])
    covariance = around.T @ around / (len(around) - len(Modality))
    diagonal = np.diag(np.diag(covariance))
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * diagonal + _LEAST_VARIANCE * np.eye(len(covariance))
    names = [str(modality) for modality in Modality]
    pairs = {pair: np.array([case.pairs[pair] for case in cases]) for pair in permutations(names, 2)}
    spreads = np.sqrt(np.mean([values.var(axis=0) for values in pairs.values()], axis=0)) + _LEAST_SPREAD
    return RoleProfiles(
        len(cases),
        images=dict(zip(names, seen.mean(axis=0), strict=True)),
        covariance=shrunk,
        pairs={pair: values.mean(axis=0) for pair, values in pairs.items()},
        spreads=spreads,
    )


def profiles_as_json(profiles: RoleProfiles) -> dict[str, object]:
    """Return profiles as plain data, rounded."""
    return {
        "patients": profiles.patients,
        "images": {modality: _rounded(mean) for modality, mean in profiles.images.items()},
        "covariance": [_rounded(row) for row in profiles.covariance],
        "pairs": {f"{one} {other}": _rounded(mean) for (one, other), mean in profiles.pairs.items()},
        "spreads": _rounded(profiles.spreads),
    }


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), 6) for value in values]


def renamed(looks: CaseLooks, names: Mapping[str, str]) -> CaseLooks:
    """Return what is measured when images stand under other names.

    Args:
        looks: of a case with all images.
        names: for each name that is shown the modality that the image is.
    """
    images = {shown: looks.images[true] for shown, true in names.items()}
    return CaseLooks(images, {(a, b): looks.pairs[names[a], names[b]] for a, b in permutations(names, 2)})


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--split", type=Path, help="a table of cases and splits; all cases train without one")
    parser.add_argument("--write", type=Path, help="a JSON file for the profiles")
    options = parser.parse_args()
    found = look_for_cases(options.cohort).cases
    measured = {case.case_id: case_looks(load_case(case, Preprocessing()).images) for case in found if not case.missing}
    cases = {case_id: looks for case_id, looks in measured.items() if looks is not None}
    table = read_table(options.split) if options.split else None
    parts = dict(zip(table["case"], table["split"], strict=True)) if table is not None else {}
    train = [case_id for case_id in cases if parts.get(case_id, Split.TRAIN) == Split.TRAIN]
    profiles = fit_role_profiles([cases[case_id] for case_id in train])
    if options.write:
        write_json(options.write, profiles_as_json(profiles))
    counts: Counter[str] = Counter()
    for case_id, looks in cases.items():
        others = [cases[other] for other in train if other != case_id]
        judge = fit_role_profiles(others) if case_id in train else profiles
        counts.update(_judged(judge, looks, "train" if case_id in train else "others"))
    print(f"{len(train)} training patients, {len(cases) - len(train)} others")
    for line, count in sorted(counts.items()):
        print(f"{line}: {count}")


def _judged(judge: RoleProfiles, looks: CaseLooks, part: str) -> Counter[str]:
    names = [str(modality) for modality in Modality]
    counts: Counter[str] = Counter()
    for true, shown in permutations(names, 2):
        kept = {name: name for name in names if name not in (true, shown)} | {shown: true}
        counts[f"{part}: {true} called {shown}"] = int(suspected_in(renamed(looks, kept), judge) is not None)
    right = [subset for size in (1, 2, 3) for subset in combinations(names, size)]
    false = sum(suspected_in(renamed(looks, {m: m for m in subset}), judge) is not None for subset in right)
    counts[f"{part}: false alarms"] = false
    return counts


if __name__ == "__main__":
    main()
