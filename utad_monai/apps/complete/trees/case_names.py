"""Names of cases as BraTS 2023 and BraSyn have them, for tools that take no others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import pandas

from utad_monai.data.layouts import Case
from utad_monai.runtime.files import read_table, write_table

CASES_FILE = "cases.csv"
"""What the cases of a tree are called there: columns case (in the cohort) and name (in the tree)."""
_OFFICIAL = re.compile(r"BraTS-[A-Z]+-(?P<patient>\d{5})-\d{3}")


def official_names(cases: Sequence[Case], earlier: Mapping[str, str]) -> dict[str, str]:
    """Return the name of each case as `BraTS-GLI-00001-000`: number of the patient, number of the visit.

    A case that is called so already keeps its name, and a case of an earlier tree the one that it had there.

    Args:
        cases: the cases, each with its patient.
        earlier: names by case, of the tree that was there before.
    """
    given = {case.case_id: case.case_id for case in cases if _OFFICIAL.fullmatch(case.case_id)}
    kept = {case: name for case, name in earlier.items() if case not in given and name not in given.values()}
    names = {case.case_id: name for case in cases if (name := given.get(case.case_id) or kept.get(case.case_id))}
    taken = {*given.values(), *kept.values()}
    numbers = {case.patient_id: names[case.case_id].split("-")[2] for case in cases if case.case_id in kept}
    used = {name.split("-")[2] for name in taken}
    free = (f"{number:05d}" for number in count(1) if f"{number:05d}" not in used)
    for case in sorted(cases, key=lambda case: (case.patient_id, case.visit, case.case_id)):
        if case.case_id not in names:
            number = numbers.setdefault(case.patient_id, "") or next(free)
            numbers[case.patient_id] = number
            visits = (f"BraTS-GLI-{number}-{visit:03d}" for visit in count())
            names[case.case_id] = next(name for name in visits if name not in taken)
            taken.add(names[case.case_id])
    return names


def read_names(root: Path) -> dict[str, str]:
    """Return the names of an earlier tree's cases; none where there is no tree, or its table is damaged."""
    try:
        table = read_table(root / CASES_FILE, dtype=str, keep_default_na=False)
        names = dict(zip(table["case"], table["name"], strict=True))
    except (OSError, ValueError, KeyError):
        return {}
    return {case: name for case, name in names.items() if _OFFICIAL.fullmatch(name)}


def write_names(root: Path, names: Mapping[str, str]) -> Path:
    """Write what the cases of a tree are called, and return the table's path."""
    rows = [{"case": case, "name": names[case]} for case in sorted(names)]
    write_table(root / CASES_FILE, pandas.DataFrame(rows, columns=["case", "name"]))
    return root / CASES_FILE
