"""Split a cohort by patient, the same way every time, and keep the split in a file.

The file has the columns case, patient, split, modalities, segmentation.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas

from utad_monai.data.layouts import Case
from utad_monai.data.quality.finding import SPLIT_FILE, CohortError
from utad_monai.keys import Modality, Split
from utad_monai.runtime.files import read_table, write_table
from utad_monai.runtime.folder_lock import locked_folder

_logger = logging.getLogger(__name__)


def split_by_patient(
    cases: Sequence[Case], validation_fraction: float = 0.1, test_fraction: float = 0.2, seed: int = 0
) -> dict[str, Split]:
    """Assign every case to a split, all visits of a patient to the same one.

    Patients are ranked by a hash of seed and name, so the order of the files does not matter. With three or more
    patients every split has at least one; with fewer, training comes first. When the validation patients would show
    only one modality, although the cohort has several, others are taken (`utad_monai.data.split`), and no
    modality is withheld from training, so that validation and test may be empty in a tiny cohort.

    Args:
        cases: the cohort.
        validation_fraction: share of patients for validation.
        test_fraction: share of patients for testing.
        seed: another seed gives another split.

    Returns:
        The split of each case, by case name.

    Raises:
        ValueError: when the fractions leave nothing for training.
    """
    if min(validation_fraction, test_fraction) < 0 or validation_fraction + test_fraction >= 1:
        raise ValueError(f"split fractions leave no training patients: {validation_fraction}, {test_fraction}")
    patients = sorted({case.patient_id for case in cases}, key=lambda patient: _rank(seed, patient))
    test = _count(test_fraction, len(patients), at_most=len(patients) - 2)
    validation = _count(validation_fraction, len(patients), at_most=len(patients) - test - 1)
    split_of = {
        patient: Split.TEST if place < test else Split.VALIDATION if place < test + validation else Split.TRAIN
        for place, patient in enumerate(patients)
    }
    shown = modalities_of_patients(cases)
    drawn = with_shown_modalities(split_of, shown)
    if drawn != split_of:
        now = ", ".join(sorted(shown_in_validation(drawn, shown))) or "nothing: no patient can be spared from training"
        _logger.info("split: validation is drawn by modality, its patients have %s", now)
    return {case.case_id: drawn[case.patient_id] for case in cases}


def _rank(seed: int, patient: str) -> str:
    return hashlib.sha256(f"{seed}/{patient}".encode()).hexdigest()


def _count(fraction: float, patients: int, at_most: int) -> int:
    return min(max(1, round(fraction * patients)), at_most) if fraction > 0 and at_most > 0 else 0


def folds_by_patient(cases: Sequence[Case], folds: int = 5) -> list[dict[str, list[str]]]:
    """Return the folds of a cross-validation, all visits of a patient in the same one, as nnU-Net writes them.

    Args:
        cases: the cohort.
        folds: how many; no more than there are patients.

    Returns:
        For each fold the names of its cases under `train` and `val`; nothing for fewer than two patients.
    """
    patients = sorted({case.patient_id for case in cases}, key=lambda patient: _rank(0, patient))
    number = min(folds, len(patients))
    fold_of = {patient: place % number for place, patient in enumerate(patients)}
    return [
        {
            "train": sorted(case.case_id for case in cases if fold_of[case.patient_id] != fold),
            "val": sorted(case.case_id for case in cases if fold_of[case.patient_id] == fold),
        }
        for fold in range(number if number > 1 else 0)
    ]


def keep_split(
    cases: Sequence[Case],
    output_dir: str | Path,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> dict[str, Split]:
    """Return the split in `output_dir/split.csv`, writing it first when there is none.

    An existing file wins, so every stage sees the same split and users may bring their own.

    Raises:
        CohortError: when the file does not fit the cohort: a case it does not list, unknown split names, one patient in
            two splits. Rows of cases that are not there are passed over.
    """
    path = Path(output_dir) / SPLIT_FILE
    if path.exists():
        return read_split(path, cases)
    split = split_by_patient(cases, validation_fraction, test_fraction, seed)
    with locked_folder(output_dir, shared=True):
        write_table(path, _table(cases, split))
    return split


def _table(cases: Sequence[Case], split: Mapping[str, Split]) -> pandas.DataFrame:
    rows = [
        {
            "case": case.case_id,
            "patient": case.patient_id,
            "split": str(split[case.case_id]),
            "modalities": " ".join(case.images),
            "segmentation": case.segmentation is not None,
        }
        for case in cases
    ]
    return pandas.DataFrame(rows)


def read_split(path: str | Path, cases: Sequence[Case]) -> dict[str, Split]:
    """Read the split of a cohort from a CSV with the columns case and split.

    Raises:
        CohortError: when the file is missing or does not fit the cohort.
    """
    path = Path(path)
    if not path.is_file():
        raise _split_error(path, "is missing: no split was made yet")
    try:
        table = read_table(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise _split_error(path, f"is not a table ({error})") from error
    if not {"case", "split"} <= set(table.columns):
        raise _split_error(path, "has no columns case and split")
    repeated = sorted(set(table["case"][table["case"].duplicated()]))
    if repeated:
        raise _split_error(path, f"lists {', '.join(repeated[:3])} more than once")
    assigned = dict(zip(table["case"], table["split"], strict=True))
    unknown_splits = sorted(set(assigned.values()) - set(Split))
    if unknown_splits:
        raise _split_error(path, f"has unknown splits {', '.join(unknown_splits)}; known are {', '.join(Split)}")
    absent = [case.case_id for case in cases if case.case_id not in assigned]
    if absent:
        raise _split_error(path, f"was written for another cohort: it lacks {', '.join(absent[:3])}")
    split = {case.case_id: Split(assigned[case.case_id]) for case in cases}
    _refuse_torn_patients(path, cases, split)
    return split


def _refuse_torn_patients(path: Path, cases: Sequence[Case], split: Mapping[str, Split]) -> None:
    first: dict[str, str] = {}
    for case in cases:
        name = case.case_id
        other = first.setdefault(case.patient_id, name)
        if split[other] is not split[name]:
            torn = f"{other} is {split[other]}, {name} is {split[name]}"
            raise _split_error(path, f"puts patient {case.patient_id} into two splits ({torn})")


def _split_error(path: Path, reason: str) -> CohortError:
    return CohortError.of(path, reason, "mend it, or remove it to have it written anew")


Assignment = Mapping[str, Split]

_EVERY = 4
"""Validation grows beyond its share to at most every fourth patient, so that training keeps most of a small cohort."""
_TAKEN_FIRST = (Split.VALIDATION, Split.TRAIN, Split.TEST)
"""From which patients validation takes first: those of the test stay there if they can."""


def modalities_of_patients(cases: Iterable[Case]) -> dict[str, frozenset[Modality]]:
    """Return what the cases with a segmentation of each patient show; nothing for a patient without any."""
    shown: dict[str, frozenset[Modality]] = {}
    for case in cases:
        has = frozenset(case.images) if case.segmentation is not None else frozenset()
        shown[case.patient_id] = shown.get(case.patient_id, frozenset()) | has
    return shown


def shown_in_validation(split: Assignment, shown: Mapping[str, frozenset[Modality]]) -> frozenset[Modality]:
    """Return the modalities that the validation patients of a split have, those with a segmentation."""
    return frozenset[Modality]().union(*(shown[p] for p, part in split.items() if part is Split.VALIDATION))


def with_shown_modalities(split: Assignment, shown: Mapping[str, frozenset[Modality]]) -> dict[str, Split]:
    """Return a split whose validation shows several modalities, when that of the given one does not.

    A split whose validation shows two modalities or more is returned as it is, and so is one without validation
    patients or of a cohort of one modality. Otherwise, in this order:

    1. a modality is never withheld from training: its last patient trains, so validation may stay empty;
    2. validation takes the patients that show most of what it lacks, until it shows everything; it grows beyond its
       share to at most a patient per modality and a quarter of all patients;
    3. test patients stay test patients where they can, others take the place of those that cannot.

    Patients without a segmentation train, that is, they are passed over.

    Args:
        split: of each patient, in the order of their rank.
        shown: what each patient's cases with a segmentation show.
    """
    patients = list(split)
    shares = Counter(split.values())
    every = frozenset[Modality]().union(*shown.values())
    if not shares[Split.VALIDATION] or len(every) < 2 or len(shown_in_validation(split, shown)) > 1:
        return dict(split)
    order = sorted(patients, key=lambda patient: _TAKEN_FIRST.index(split[patient]))
    pool = _Pool([patient for patient in order if shown[patient]], shown)
    most = max(shares[Split.VALIDATION], min(len(every), len(patients) // _EVERY))
    validation = _showing(pool, most, shares[Split.VALIDATION])
    was_test_first = sorted(patients, key=lambda patient: split[patient] is not Split.TEST)
    candidates = [patient for patient in was_test_first if patient in pool.patients]
    test = _first(pool, candidates, shares[Split.TEST])
    return {
        patient: Split.VALIDATION if patient in validation else Split.TEST if patient in test else Split.TRAIN
        for patient in patients
    }


class _Pool:
    """Patients that still train, and what would be withheld from training without them."""

    def __init__(self, patients: Sequence[str], shown: Mapping[str, frozenset[Modality]]) -> None:
        self.patients = list(patients)
        self.shown = shown
        self._holders = Counter(modality for patient in patients for modality in shown[patient])

    def may_leave(self, patient: str) -> bool:
        """Tell whether others show all that a patient shows."""
        return all(self._holders[modality] > 1 for modality in self.shown[patient])

    def take(self, patient: str) -> str:
        """Let a patient leave training, and return it."""
        self.patients.remove(patient)
        self._holders.subtract(self.shown[patient])
        return patient


def _showing(pool: _Pool, most: int, share: int) -> set[str]:
    """Take patients until every modality that can be spared is shown and the share is filled."""
    taken: set[str] = set()
    seen: frozenset[Modality] = frozenset()
    while len(taken) < most:
        free = [patient for patient in pool.patients if pool.may_leave(patient)]
        if not free:
            break
        best = max(free, key=lambda patient: len(pool.shown[patient] - seen))  # the first of equals
        if not pool.shown[best] - seen and len(taken) >= share:
            break
        seen |= pool.shown[best]
        taken.add(pool.take(best))
    return taken


def _first(pool: _Pool, candidates: Sequence[str], number: int) -> set[str]:
    """Take the first patients that may leave."""
    taken: set[str] = set()
    for patient in candidates:
        if len(taken) < number and pool.may_leave(patient):
            taken.add(pool.take(patient))
    return taken
