"""A cohort's problems are one line each, with case, file, reason and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from transforms import InvalidImageError
from utad_monai.data import CohortError, CohortProblem

PROBLEM = CohortProblem("case_1", Path("a/case_1_t1.nii.gz"), "is empty", "copy it again")


def test_line_has_case_file_reason_and_remedy() -> None:
    assert str(PROBLEM) == "case case_1: a/case_1_t1.nii.gz: is empty; copy it again"


def test_line_of_the_whole_cohort_has_no_case() -> None:
    assert str(CohortProblem("", Path("a"), "holds no case", "look")) == "a: holds no case; look"


def test_refusal_of_a_file_becomes_a_problem_of_its_case() -> None:
    error = InvalidImageError("a/case_1_t1.nii.gz", "is empty", "copy it again")
    assert CohortProblem.of("case_1", error) == PROBLEM


def test_error_has_one_line_per_problem_and_keeps_them() -> None:
    other = CohortProblem("case_2", Path("b"), "is too short", "copy it again")
    with pytest.raises(ValueError, match="case_1") as refusal:
        raise CohortError([PROBLEM, other])
    assert str(refusal.value).splitlines() == [str(PROBLEM), str(other)]
    assert isinstance(refusal.value, CohortError)
    assert refusal.value.problems == (PROBLEM, other)
