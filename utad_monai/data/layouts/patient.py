"""Who a case is of, and when: the one rule that reads patient and visit from a name, and the table that overrules it.

To take two patients for one costs a split some freedom; to take one for two puts a patient into training and test. A
rule that joins too much would leave nothing to split, so a bare number at the end (`case_1`, `sub01_2`) is no visit.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas

from utad_monai.data.quality.case_name import folded_name
from utad_monai.data.quality.finding import CohortError
from utad_monai.runtime.files import read_table, write_table

PATIENTS_FILE = "patients.csv"
"""Who the cases of a folder are of, whatever their names say: columns case, patient (and visit, for people)."""
_MAX_TABLE_BYTES = 1 << 26

_DATE = (
    r"(?:19|20)\d\d(?P<between>[-_.]?)(?:0[1-9]|1[0-2])(?P=between)(?:0[1-9]|[12]\d|3[01])"
    r"(?:[-_ t]?\d\d[-:.]?\d\d(?:[-:.]?\d\d)?)?"
    r"|(?:0?[1-9]|[12]\d|3[01])(?P<dot>[-_.])(?:0?[1-9]|[12]\d|3[01])(?P=dot)(?:19|20)\d\d"
)
"""A day, as 2019-03-01, 20190301 (with a time) or 01.03.2019."""
_LONG = r"ses|session|visit|visite|timepoint|time[-_ ]?point|week|month|follow[-_ ]?up|verlauf|kontrolle"
_NUMBERED = rf"(?:{_LONG})[-_ ]?\d+(?:-\d+)?|(?:tp|fu|wk)-?\d{{1,2}}|ses-[a-z0-9]+"
"""Words that count the visits of a patient."""
_TREATMENT = (
    r"op|operative|operation|surgery|surgical|rt|radiotherapy|radiation|chemo|treatment|therapy|resection|biopsy"
)
_NAMED = (
    rf"(?:baseline|follow[-_ ]?up|recurrence|progression|(?:pre|post|intra)[-_ ]?(?:{_TREATMENT})|screening)"
    r"(?:[-_ ]?\d+)?"
)
"""Words that name a visit, whoever uses them."""
_NAMED_AFTER_A_PATIENT = rf"{_NAMED}|pre|post|before|after|initial|prior|previous|current|first|second|third|bl|fu"
"""Words that name a visit where the name of a patient stands beside them, and mean many things elsewhere."""
_SHORT = r"(?:tp|fu|wk|time|day|year|scan|exam|study|mri?)[-_ ]?\d+d?|v\d{1,2}|t\d|m\d\d"
"""Short words that count visits after what looks like the number of a patient."""

_GAP = r"[-_. /]+"
_LAST = re.compile(
    rf"(?P<rest>.+?)(?:(?:{_GAP}|(?<=\d))(?P<numbered>{_NUMBERED})|{_GAP}(?P<named>{_NAMED_AFTER_A_PATIENT})"
    rf"|{_GAP}(?P<short>{_SHORT})|{_GAP}(?P<date>{_DATE}))",
    re.IGNORECASE,
)
_FIRST = re.compile(
    rf"(?:(?P<numbered>{_NUMBERED})|(?P<named>{_NAMED_AFTER_A_PATIENT})|(?P<date>{_DATE})){_GAP}(?P<rest>.+)",
    re.IGNORECASE,
)
_KINDS = ("numbered", "named", "short", "date")
_NOBODY = frozenset(
    {
        *("anat", "brain", "brats", "case", "cases", "cohort", "data", "exam", "gbm", "glioma", "hgg", "image", "img"),
        *("lgg", "mr", "mri", "p", "pat", "patient", "patients", "s", "scan", "session", "study", "sub", "subj"),
        *("subject", "test", "train", "training", "tumor", "tumour", "validation"),
    }
)
"""What comes before the number of a patient, and is none itself."""

_PUBLISHED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<patient>BraTS-[a-z]+(?:-[a-z]+)*-\d+)-(?P<visit>\d+)",
        r"(?P<patient>BraTS1[789]_(?:[a-z0-9]+_[a-z0-9]+|(?!2013_)\d+))_(?P<visit>\d+)",
        r"(?P<patient>UPENN-GBM-\d+)_(?P<visit>\d+)",
        r"(?P<patient>UCSF-PDGM-\d+)(?:_(?P<visit>FU\d+d?))?(?:_nifti)?",
        r"(?P<patient>UCSD-PTGBM-\d+)_(?P<visit>\d+)",
        r"(?P<patient>RHUH(?:-GBM)?-\d+)[-_](?P<visit>\d)",
        r"(?P<patient>sub-[^_/]+)_(?P<visit>ses-[^_/]+)(?:_.+)?",
        r"(?P<patient>sub-[^_/]+)(?:_[a-z]+-[^_/]+)+(?P<visit>)",
    )
)
"""Published collections whose names say more than words do, and BIDS."""


class Visit(NamedTuple):
    """What a name says of one examination."""

    patient: str
    """The patient; the name itself where it tells no other."""
    time: str
    """The visit, such as `ses-02`, `100` or `2019-03-01`; empty where the name tells none."""


def visit_of(name: str) -> Visit:
    """Read the name of a case.

    Args:
        name: such as `BraTS-GLI-00005-100`, `UPENN-GBM-00001_21`, `sub-01_ses-02`, `Patient-001_week-044`, `P01_visit2`
            or `P01_2019-03-01`.
    """
    patient, times = name, ""
    while True:
        for pattern in _PUBLISHED:
            if match := pattern.fullmatch(patient):
                return Visit(match["patient"], _both(match["visit"] or "", times))
        last, first = _LAST.fullmatch(patient), _FIRST.fullmatch(patient)
        if last and _is_somebody(last):
            patient, times = last["rest"], _both(_time(last), times)
        elif first and _is_somebody(first):
            patient, times = first["rest"], _both(times, _time(first))
        else:
            return Visit(patient, times)


def patient_of(name: str) -> str:
    """Return the patient whom a case of this name is of; its own name where that tells none."""
    return visit_of(name).patient


def _both(one: str, other: str) -> str:
    return "_".join(filter(None, (one, other)))


def _time(match: re.Match[str]) -> str:
    return next(text for kind in _KINDS if (text := match.groupdict().get(kind)))


def _is_somebody(match: re.Match[str]) -> bool:
    """Tell whether what stands beside a visit is the name of a patient, and not a word that all of them share."""
    rest, found = match["rest"], match.groupdict()
    if not re.search(r"[^\W_]", rest) or re.sub(r"[\W_]+", "", rest).casefold() in _NOBODY:
        return False
    if found.get("date") and match.re is _FIRST:  # a running number of the day is nobody
        return bool(re.search(r"[^\W\d_]", rest))
    return not found.get("short") or bool(re.search(r"\d", rest))


_TIMES_INSIDE = (
    re.compile(rf"(?:^|.*?[^a-z0-9])(?P<time>{_NUMBERED}|time[-_ ]?\d+)(?:[^a-z0-9].*|$)", re.IGNORECASE),
    re.compile(rf"(?:^|.*?\D)(?P<time>{_DATE})(?:\D.*|$)", re.IGNORECASE),
    re.compile(rf"(?P<time>{_NAMED}|exam[-_ ]?\d+|fu|bl)", re.IGNORECASE),
)


def time_in(name: str) -> str:
    """Return the time point that a folder or file inside a case's folder is of; empty where its name tells none.

    A day is written as `2019-03-01`, however it is spelt. Words that sequences have too (`pre`, `post`) tell none.
    """
    for pattern in _TIMES_INSIDE:
        if match := pattern.fullmatch(name):
            return _day(match["time"]) or match["time"]
    return ""


def _day(text: str) -> str:
    """Return a day as ISO 8601 writes it; empty for other words, and for days that can be read in two ways."""
    if match := re.match(r"((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)", text):
        return "-".join(match.groups())
    return ""


def patient_key(patient: str) -> str:
    """Return what two spellings of one patient share: `P01` and `p01`, `7` and `007` (and a table's `7.0`)."""
    folded = folded_name(patient.strip())
    number = re.fullmatch(r"0*([0-9]+?)(?:\.0+)?", folded)
    return number[1] if number else folded


def joined_patients(patients: Mapping[str, str], groups: Iterable[Collection[str]] = ()) -> dict[str, str]:
    """Return the patient of each case, where spellings of a name, and the cases of a group, are of one patient.

    Args:
        patients: the patient of each case.
        groups: cases that are known to be of one patient.

    Returns:
        For each case the first, in alphabetical order, of the names that its patient has.
    """
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    keys = {case: patient_key(patient) for case, patient in patients.items()}
    for group in groups:
        first, *others = [find(keys[case]) for case in group]
        leader.update({find(other): find(first) for other in others})
    names: dict[str, str] = {}
    for case, patient in patients.items():
        root = find(keys[case])
        names[root] = min(patient, names.get(root, patient))
    return {case: names[find(keys[case])] for case in patients}


def read_patients(path: Path) -> dict[str, str]:
    """Read the patients of a folder's cases; rows without a patient say nothing.

    Raises:
        CohortError: when the file is no table with the columns case and patient, or gives a case two patients.
    """
    try:
        if path.stat().st_size > _MAX_TABLE_BYTES:
            raise ValueError("it is too large")
        table = read_table(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise _table_error(path, f"is not a readable table ({error})") from error
    if not {"case", "patient"} <= set(table.columns):
        raise _table_error(path, "has no columns case and patient")
    patients: dict[str, str] = {}
    for case, patient in zip(table["case"], table["patient"].str.strip(), strict=True):
        if patient and patient_key(patients.setdefault(case, patient)) != patient_key(patient):
            raise _table_error(path, f"gives the case {case} two patients, {patients[case]} and {patient}")
    return patients


def write_patients(folder: Path, patients: Mapping[str, str]) -> Path:
    """Write the table of the patients of a folder's cases, by case, and return it."""
    rows = [{"case": case, "patient": patients[case], "visit": visit_of(case).time} for case in sorted(patients)]
    write_table(folder / PATIENTS_FILE, pandas.DataFrame(rows, columns=["case", "patient", "visit"]))
    return folder / PATIENTS_FILE


def _table_error(path: Path, reason: str) -> CohortError:
    return CohortError.of(path, reason, "mend it (columns case and patient, one row a case), or remove it")
