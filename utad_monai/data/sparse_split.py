"""The split of a cohort whose patients have one modality each, or hardly more: validation shows as many as it can."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from utad_monai.data.layouts import Case
from utad_monai.keys import Modality, Split

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
