"""Sources are chosen and weighed by their validation errors."""

from __future__ import annotations

import pytest

from utad_monai.keys import Modality
from utad_monai.models.source_choice import USUAL_SOURCES, WEIGHT_EXPONENT, best_source, source_weights, usable_sources

FLAIR, T1, T1CE, T2 = Modality
ERRORS = {T1: {T2: 0.1, FLAIR: 0.2, T1CE: 0.4}}


def test_the_smallest_error_among_the_available_wins() -> None:
    assert best_source(ERRORS, T1, (FLAIR, T1CE, T2)) == T2
    assert best_source(ERRORS, T1, (T1CE, FLAIR)) == FLAIR


def test_sources_without_an_error_come_last_and_in_their_usual_order() -> None:
    assert best_source({T1: {FLAIR: 0.9}}, T1, (FLAIR, T2)) == FLAIR
    assert best_source({}, T1, (T2, FLAIR)) == T2
    assert best_source({}, T1CE, (FLAIR, T1, T2)) == T1


@pytest.mark.parametrize(("of_t1", "chosen"), [(0.101, T1), (0.109, T1), (0.112, FLAIR)])
def test_near_tie_is_decided_by_what_usually_serves_the_target(of_t1: float, chosen: Modality) -> None:
    assert best_source({T1CE: {FLAIR: 0.1, T1: of_t1, T2: 0.5}}, T1CE, (FLAIR, T1, T2)) == chosen


def test_usual_source_that_is_not_there_decides_nothing() -> None:
    assert best_source({T1CE: {FLAIR: 0.1, T1: 0.1, T2: 0.105}}, T1CE, (FLAIR, T2)) == T2


def test_usual_sources_are_all_but_the_target() -> None:
    assert {target: {*sources} for target, sources in USUAL_SOURCES.items()} == {
        target: {*Modality} - {target} for target in Modality
    }


def test_other_modalities_are_chosen_by_their_errors() -> None:
    pd, mt = Modality.named("pd"), Modality.named("mt")
    assert best_source({pd: {mt: 0.2, T1: 0.1}}, pd, (mt, T1)) == T1
    assert best_source({T1: {pd: 0.1, T2: 0.105}}, T1, (pd, T2)) == T2


def test_the_target_is_never_its_own_source() -> None:
    assert usable_sources(T1, (T1, T2)) == (T2,)
    with pytest.raises(ValueError, match="no source image to make t1 from"):
        best_source(ERRORS, T1, (T1,))


def test_weights_sum_to_one_and_fall_with_the_error() -> None:
    weights = source_weights(ERRORS, T1, (FLAIR, T1CE, T2))
    assert sum(weights.values()) == pytest.approx(1)
    assert weights[T2] / weights[FLAIR] == pytest.approx(2**WEIGHT_EXPONENT)
    assert weights[T2] > weights[FLAIR] > weights[T1CE] > 0


@pytest.mark.parametrize("errors", [{}, {T1: {FLAIR: 0.1}}, {T1: {FLAIR: 0.1, T2: 0.0}}])
def test_a_source_without_an_error_has_no_weight(errors: dict[Modality, dict[Modality, float]]) -> None:
    with pytest.raises(ValueError, match=r"no validation error of .*t2 for t1"):
        source_weights(errors, T1, (FLAIR, T2))
