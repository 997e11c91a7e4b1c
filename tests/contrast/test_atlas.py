from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from utad_monai.contrast.atlas import brain_positions, by_patient, case_intensities, cohort_atlas
from utad_monai.keys import Modality

Cohort = Callable[..., Any]


def test_the_atlas_is_the_mean_over_the_cases(cohort: Cohort) -> None:
    store, cases = cohort([tuple(Modality)] * 3)
    atlas = cohort_atlas(store, cases, 1)
    values = [case_intensities(store, case, Modality.T1, 1) for case in cases]
    pixel = [v.image[:, 16, 16][v.counted[:, 16, 16]] for v in values]
    assert atlas.mean(Modality.T1)[0, 16, 16] == pytest.approx(np.concatenate(pixel).mean(), rel=1e-4)


def test_an_atlas_without_a_case_is_the_atlas_of_the_others(cohort: Cohort) -> None:
    store, cases = cohort([tuple(Modality)] * 3)
    left = cohort_atlas(store, cases, 5).without(cohort_atlas(store, cases[:1], 5))
    others = cohort_atlas(store, cases[1:], 5)
    for modality in Modality:
        assert left.mean(modality) == pytest.approx(others.mean(modality), abs=1e-5)
        assert np.array_equal(left.inside(modality), others.inside(modality))


def test_the_edge_of_the_brain_and_missing_modalities_are_not_inside(cohort: Cohort) -> None:
    store, cases = cohort([(Modality.T1,)] * 4)
    atlas = cohort_atlas(store, cases, 8)
    inside, seen = atlas.inside(Modality.T1), atlas.counts[Modality.T1.channel] > 0
    assert inside[4, 16, 16]
    assert 0 < (seen & ~inside).sum() < seen.sum()
    assert not atlas.inside(Modality.T2).any()


def test_no_more_positions_than_the_shortest_brain_has_slices(cohort: Cohort) -> None:
    store, cases = cohort([(Modality.T1,)] * 3)
    shortest = min(len(np.flatnonzero(case.brain_pixels)) for case in cases)
    assert brain_positions(cases) == shortest < 24
    for case in cases:
        found = case_intensities(store, case, Modality.T1, shortest).position
        assert set(found) == set(range(shortest))


def test_cases_of_a_patient_come_together(cohort: Cohort) -> None:
    _, cases = cohort([(Modality.T1,)] * 2)
    assert list(by_patient([*cases, cases[0]])) == [[cases[0], cases[0]], [cases[1]]]
