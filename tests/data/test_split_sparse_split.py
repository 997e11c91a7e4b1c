"""Validation shows several modalities where patients have one each; a split that already does stays as it was."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utad_monai.data import BRATS_2023, Case, split_by_patient
from utad_monai.data.split import modalities_of_patients, shown_in_validation, with_shown_modalities
from utad_monai.keys import Modality, Split

FLAIR, T1, T1CE, T2 = Modality
Shown = Sequence[frozenset[Modality]]

any_patient = st.frozensets(st.sampled_from(Modality), min_size=1)
one_modality = st.sampled_from(Modality).map(lambda modality: frozenset([modality]))


def cohort(shown: Shown, segmented: bool = True) -> list[Case]:
    """Return a case of each patient, with the modalities of each."""
    return [
        Case(
            f"case_{n}",
            f"patient_{n}",
            images=dict.fromkeys(sorted(has), Path("i")),
            segmentation=Path("s") if segmented else None,
            layout=BRATS_2023,
        )
        for n, has in enumerate(shown)
    ]


def singles(*modalities: Modality) -> list[Case]:
    return cohort([frozenset([modality]) for modality in modalities])


def of(split: dict[str, Split], cases: Sequence[Case], part: Split) -> list[Modality]:
    """Return the modalities of the cases of a split, sorted."""
    return sorted(m for case in cases if split[case.case_id] is part for m in case.images)


def by_rank_alone(
    cases: Sequence[Case], validation_fraction: float, test_fraction: float, seed: int
) -> dict[str, Split]:
    """Return the split of versions before modalities counted."""
    patients = sorted(
        {case.patient_id for case in cases}, key=lambda p: hashlib.sha256(f"{seed}/{p}".encode()).hexdigest()
    )
    test = min(max(1, round(test_fraction * len(patients))), max(0, len(patients) - 2))
    validation = min(max(1, round(validation_fraction * len(patients))), max(0, len(patients) - test - 1))
    parts = [Split.TEST] * test + [Split.VALIDATION] * validation
    return {p: parts[n] if n < len(parts) else Split.TRAIN for n, p in enumerate(patients)}


@given(st.lists(any_patient, min_size=1, max_size=30), st.integers(0, 50))
def test_split_whose_validation_shows_two_modalities_is_that_of_earlier_versions(shown: Shown, seed: int) -> None:
    cases = cohort(shown)
    earlier = by_rank_alone(cases, 0.1, 0.2, seed)
    if len(shown_in_validation(earlier, modalities_of_patients(cases))) > 1:
        now = split_by_patient(cases, seed=seed)
        assert {case.patient_id: now[case.case_id] for case in cases} == earlier


@given(st.lists(one_modality, min_size=4, max_size=40), st.integers(0, 50))
def test_no_modality_is_withheld_from_training_when_validation_is_drawn_by_modality(shown: Shown, seed: int) -> None:
    cases = cohort(shown)
    earlier = by_rank_alone(cases, 0.1, 0.2, seed)
    if len(shown_in_validation(earlier, modalities_of_patients(cases))) > 1:
        return
    split = split_by_patient(cases, seed=seed)
    every = frozenset[Modality]().union(*shown)
    if len(every) > 1:
        assert set(of(split, cases, Split.TRAIN)) == every
    sizes, before = Counter(split.values()), Counter(earlier.values())
    assert sizes[Split.TEST] <= before[Split.TEST]
    assert sizes[Split.VALIDATION] <= max(before[Split.VALIDATION], len(cases) // 4)
    assert split == split_by_patient(cases[::-1], seed=seed)


@pytest.mark.parametrize("seed", range(5))
def test_every_patient_of_a_modality_of_its_own_trains(seed: int) -> None:
    assert set(split_by_patient(singles(*Modality), seed=seed).values()) == {Split.TRAIN}


@pytest.mark.parametrize("seed", range(5))
def test_four_patients_of_two_modalities_have_one_to_validate_and_one_to_test(seed: int) -> None:
    cases = singles(T1, T2, T1, T2)
    split = split_by_patient(cases, seed=seed)
    assert of(split, cases, Split.TRAIN) == [T1, T2]
    assert sorted(of(split, cases, Split.VALIDATION) + of(split, cases, Split.TEST)) == [T1, T2]


@pytest.mark.parametrize("seed", range(5))
def test_eight_patients_of_one_modality_each_have_two_modalities_to_validate(seed: int) -> None:
    cases = singles(*Modality, *Modality)
    split = split_by_patient(cases, seed=seed)
    assert of(split, cases, Split.TRAIN) == sorted(Modality)
    assert sorted(of(split, cases, Split.VALIDATION) + of(split, cases, Split.TEST)) == sorted(Modality)
    assert len(of(split, cases, Split.VALIDATION)) == 2


def test_sixteen_patients_show_every_modality_where_validation_had_one_alone() -> None:
    cases = singles(*[modality for modality in Modality for _ in range(4)])
    seeds = [
        seed
        for seed in range(40)
        if len(shown_in_validation(by_rank_alone(cases, 0.1, 0.2, seed), modalities_of_patients(cases))) == 1
    ]
    assert seeds
    for seed in seeds:
        split = split_by_patient(cases, seed=seed)
        assert of(split, cases, Split.VALIDATION) == sorted(Modality)
        assert len(of(split, cases, Split.TEST)) == 3


def test_validation_takes_the_patient_that_shows_most_and_leaves_the_test_alone() -> None:
    everything = frozenset(Modality)
    shown = {"a": everything, "b": frozenset([T1]), "c": frozenset([T1, T2]), "d": everything, "e": everything}
    split = dict(zip(shown, [Split.TEST, Split.VALIDATION, *[Split.TRAIN] * 3], strict=True))
    assert with_shown_modalities(split, shown) == split | {"b": Split.TRAIN, "d": Split.VALIDATION}


def test_patient_without_a_segmentation_is_not_taken_for_validation() -> None:
    shown = {"a": frozenset([T1]), "b": frozenset[Modality](), "c": frozenset([T1, T2]), "d": frozenset([T1, T2])}
    split = dict(zip(shown, [Split.TEST, Split.VALIDATION, Split.TRAIN, Split.TRAIN], strict=True))
    assert with_shown_modalities(split, shown) == split | {"b": Split.TRAIN, "c": Split.VALIDATION}


def test_visits_of_a_patient_count_together() -> None:
    visits = [
        Case(f"v{n}", "p", images={m: Path("i")}, segmentation=Path("s"), layout=BRATS_2023)
        for n, m in enumerate((T1, T2))
    ]
    assert modalities_of_patients(visits) == {"p": {T1, T2}}
    assert modalities_of_patients(cohort([frozenset([T1])], segmented=False)) == {"patient_0": frozenset()}


def test_cohort_of_one_modality_or_without_validation_keeps_its_split() -> None:
    for cases, fraction in ((singles(*[T1] * 8), 0.1), (singles(*Modality, *Modality), 0.0)):
        split = split_by_patient(cases, fraction, 0.2)
        assert [len(of(split, cases, part)) for part in (Split.VALIDATION, Split.TEST)] == [fraction > 0, 2]


def test_log_says_that_validation_was_drawn_by_modality(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        split_by_patient(cohort([frozenset(Modality)] * 8))
        assert caplog.messages == []
        split_by_patient(singles(*Modality))
    assert caplog.messages == [
        "split: validation is drawn by modality, its patients have nothing: no patient can be spared from training"
    ]
