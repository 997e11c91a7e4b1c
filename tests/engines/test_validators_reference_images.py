"""Validation compares with training images where the validation cases have none, and says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader

from utad_monai.data import EvaluationCases, PreparedCohort, SlicedCase, single_case
from utad_monai.engines import TranslationValidator, ValidationMetric
from utad_monai.engines.validators import ReferenceImages
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import BatchKey, Modality
from utad_monai.metrics.unpaired import appearance_features
from utad_monai.networks import TumourAwareGenerator, student_from_teacher

Validate = Callable[..., TranslationValidator]
FLAIR, T1, T1CE, T2 = Modality


def showing(case: SlicedCase, *modalities: Modality) -> SlicedCase:
    """Return a case as if it had these modalities alone."""
    return replace(case, windows={m: window for m, window in case.windows.items() if m in modalities})


@pytest.fixture
def validate(prepared_tiny_cohort: PreparedCohort) -> Validate:
    """Give `validate(cases, reference, metric)`: a validator of a tiny untrained student that has run."""
    store = prepared_tiny_cohort.store

    def _validate(
        cases: Sequence[SlicedCase],
        reference: Sequence[SlicedCase] | None,
        metric: ValidationMetric = ValidationMetric.UNPAIRED,
    ) -> TranslationValidator:
        torch.manual_seed(0)
        translator = SliceTranslator(student_from_teacher(TumourAwareGenerator(2), "complete"))
        loader = DataLoader(EvaluationCases(store, cases), batch_size=1, collate_fn=single_case)  # type: ignore[arg-type]
        known = None if reference is None else EvaluationCases(store, reference)
        validator = TranslationValidator("cpu", loader, translator=translator, key_metric=metric, reference=known)
        validator.run()
        return validator

    return _validate


def test_looks_are_those_of_the_training_images(prepared_tiny_cohort: PreparedCohort) -> None:
    cases = prepared_tiny_cohort.reference_cases()
    case = cases[0]
    expected = appearance_features(case[BatchKey.IMAGE][T2][::2], case[BatchKey.LABEL][0, ::2])
    looks = ReferenceImages(cases, 2).looks(T2)
    assert len(looks) == len(cases) == 4
    torch.testing.assert_close(looks[0], expected, rtol=0, atol=0, equal_nan=True)


def test_modality_that_no_training_case_has_has_no_look(prepared_tiny_cohort: PreparedCohort) -> None:
    cases = [showing(case, T1) for case in prepared_tiny_cohort.cases("train")]
    reference = ReferenceImages(EvaluationCases(prepared_tiny_cohort.store, cases), 4)
    assert reference.looks(T2) == []
    assert len(reference.looks(T1)) == 4


@pytest.mark.parametrize(("cases", "looked_at"), [(1, 1), (16, 16), (17, 9), (40, 14)])
def test_no_more_than_sixteen_images_are_looked_at_and_each_once(
    prepared_tiny_cohort: PreparedCohort, cases: int, looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    original = EvaluationCases.__getitem__
    monkeypatch.setattr(EvaluationCases, "__getitem__", lambda self, n: opened.append(n) or original(self, n))
    many = EvaluationCases(prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train")[:1] * cases)
    reference = ReferenceImages(many, 4)
    assert opened == []
    assert len(reference.looks(T1)) == len(reference.looks(T1)) == len(opened) == looked_at
    assert opened == sorted(set(opened))


def test_one_validation_image_is_scored_against_the_training_images_of_the_other_modalities(
    validate: Validate, prepared_tiny_cohort: PreparedCohort
) -> None:
    (case,) = prepared_tiny_cohort.cases("validation")
    first, second, third, fourth = prepared_tiny_cohort.cases("train")
    training = [showing(first, FLAIR), showing(second, T1CE), showing(third, T2), showing(fourth, FLAIR)]
    validator = validate([showing(case, T1)], training)
    assert {target: set(errors) for target, errors in validator.source_errors.items()} == {
        target: {T1} for target in (FLAIR, T1CE, T2)
    }
    metrics = validator.state.metrics
    parts = metrics["validation_cycle"] + metrics["validation_appearance"]
    assert metrics["unpaired_score"] == pytest.approx(-parts, rel=1e-6)
    assert metrics["validation_variety_of_targets"] > 0
    said = "3 pairs of 1 validation case (t1 1) with training images of flair, t1ce, t2"
    assert validator.scored_on == said


def test_score_gets_worse_when_the_training_images_look_otherwise(
    validate: Validate, prepared_tiny_cohort: PreparedCohort
) -> None:
    (case,) = prepared_tiny_cohort.cases("validation")
    training = [showing(c, T2) for c in prepared_tiny_cohort.cases("train")]
    plain = validate([showing(case, T1)], training)
    assert set(plain.source_errors) == {T2}
    assert plain.source_errors[T2][T1] != validate([showing(case, T1)], training[:1]).source_errors[T2][T1]


def test_validation_images_are_preferred_to_training_images(
    validate: Validate, prepared_tiny_cohort: PreparedCohort
) -> None:
    cases = prepared_tiny_cohort.cases("validation")
    alone, helped = validate(cases, None), validate(cases, prepared_tiny_cohort.cases("train"))
    assert helped.state.metrics == alone.state.metrics
    assert helped.source_errors == alone.source_errors
    assert helped.scored_on == alone.scored_on == "12 pairs of 1 validation case (flair 1, t1 1, t1ce 1, t2 1)"


def test_training_cases_are_called_so(validate: Validate, prepared_tiny_cohort: PreparedCohort) -> None:
    training = prepared_tiny_cohort.cases("train")
    singles = [showing(case, modality) for case, modality in zip(training, Modality, strict=True)]
    validator = validate(singles, singles)
    assert validator.scored_on == "12 pairs of 4 training cases (flair 1, t1 1, t1ce 1, t2 1)"


def test_paired_ssim_borrows_nothing(validate: Validate, prepared_tiny_cohort: PreparedCohort) -> None:
    (case,) = prepared_tiny_cohort.cases("validation")
    training = prepared_tiny_cohort.cases("train")
    validator = validate([showing(case, T1, T2)], training, ValidationMetric.SSIM)
    assert validator.scored_on == "2 pairs of 1 validation case (t1 1, t2 1)"
    with pytest.raises(ValueError, match="which paired_ssim needs"):
        validate([showing(case, T1)], training, ValidationMetric.SSIM)


def test_cohort_of_one_modality_is_refused(validate: Validate, prepared_tiny_cohort: PreparedCohort) -> None:
    (case,) = prepared_tiny_cohort.cases("validation")
    with pytest.raises(ValueError, match="only one modality"):
        validate([showing(case, T1)], [showing(c, T1) for c in prepared_tiny_cohort.cases("train")])
