"""A cohort's problems are one line each, with case, file, reason and remedy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from utad_monai.data import CohortError, Finding, InferenceCases, Preprocessing, prepare_cohort
from utad_monai.data.quality.finding import REFUSED_FILE, policy_of, settle
from utad_monai.keys import OnBadCase
from utad_monai.transforms import InvalidImageError

PROBLEM = Finding.error("case_1", Path("a/case_1_t1.nii.gz"), "is empty", "copy it again")


def test_line_has_case_file_reason_and_remedy() -> None:
    assert str(PROBLEM) == "case case_1: a/case_1_t1.nii.gz: is empty; copy it again"


def test_line_of_the_whole_cohort_has_no_case() -> None:
    assert str(Finding.error("", Path("a"), "holds no case", "look")) == "a: holds no case; look"


def test_refusal_of_a_file_becomes_a_problem_of_its_case() -> None:
    error = InvalidImageError("a/case_1_t1.nii.gz", "is empty", "copy it again")
    assert Finding.of("case_1", error) == PROBLEM


def test_error_has_one_line_per_problem_and_keeps_them() -> None:
    other = Finding.error("case_2", Path("b"), "is too short", "copy it again")
    with pytest.raises(ValueError, match="case_1") as refusal:
        raise CohortError([PROBLEM, other])
    assert str(refusal.value).splitlines() == [str(PROBLEM), str(other)]
    assert isinstance(refusal.value, CohortError)
    assert refusal.value.problems == (PROBLEM, other)


@pytest.fixture
def cohort(tmp_path: Path, write_case: Callable[..., Path]) -> Path:
    """Five cases: one has a bad file, two have names that collide."""
    root = tmp_path / "cohort"
    for name in ("A_1", "B_1", "C_1", "Same", "SAME"):
        write_case(root, name)
    (root / "B_1" / "B_1_t1.nii.gz").write_bytes(b"")
    return root


def prepare(cohort: Path, output: Path, policy: str, preprocessing: Preprocessing) -> list[str]:
    prepared = prepare_cohort(cohort, output, preprocessing, 0.0, 0.0, progress=False, on_bad_case=policy)
    return sorted(prepared.store.cases)


def test_every_problem_of_layout_and_files_is_listed_at_once(
    cohort: Path, tmp_path: Path, tiny_preprocessing: Preprocessing
) -> None:
    with pytest.raises(CohortError) as refusal:
        prepare(cohort, tmp_path / "out", "refuse", tiny_preprocessing)
    assert sorted(problem.case_id for problem in refusal.value.problems) == ["B_1", "SAME", "Same"]
    assert policy_of(tmp_path / "out") is OnBadCase.REFUSE


def test_skip_goes_on_and_writes_down_what_was_left_out(
    cohort: Path, tmp_path: Path, tiny_preprocessing: Preprocessing, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert prepare(cohort, tmp_path / "out", "skip", tiny_preprocessing) == ["A_1", "C_1"]
    table = pandas.read_csv(tmp_path / "out" / REFUSED_FILE)
    assert sorted(table["case"]) == ["B_1", "SAME", "Same"]
    assert len([text for text in caplog.messages if text.startswith("skipped: ")]) == 3
    assert "continuing with 2 sound cases; 3 errors" in caplog.text
    assert policy_of(tmp_path / "out") is OnBadCase.SKIP


def test_the_split_is_the_same_when_a_case_is_mended(
    cohort: Path, tmp_path: Path, tiny_preprocessing: Preprocessing
) -> None:
    prepare(cohort, tmp_path / "out", "skip", tiny_preprocessing)
    before = (tmp_path / "out" / "split.csv").read_bytes()
    (cohort / "B_1" / "B_1_t1.nii.gz").write_bytes((cohort / "B_1" / "B_1_t2.nii.gz").read_bytes())
    assert prepare(cohort, tmp_path / "out", "skip", tiny_preprocessing) == ["A_1", "B_1", "C_1"]
    assert (tmp_path / "out" / "split.csv").read_bytes() == before


def test_a_refusing_run_of_a_mended_cohort_removes_the_table(tmp_path: Path) -> None:
    settle([], OnBadCase.SKIP, tmp_path, 3)
    assert (tmp_path / REFUSED_FILE).exists()
    settle([], OnBadCase.REFUSE, tmp_path, 3)
    assert not (tmp_path / REFUSED_FILE).exists()


def test_a_cohort_without_a_sound_case_cannot_be_skipped(
    cohort: Path, tmp_path: Path, tiny_preprocessing: Preprocessing
) -> None:
    for path in cohort.rglob("*_t2.nii.gz"):
        path.write_bytes(b"")
    with pytest.raises(CohortError):
        prepare(cohort, tmp_path / "out", "skip", tiny_preprocessing)


def test_an_unknown_policy_is_refused(cohort: Path, tmp_path: Path, tiny_preprocessing: Preprocessing) -> None:
    with pytest.raises(ValueError, match="ignore"):
        prepare(cohort, tmp_path / "out", "ignore", tiny_preprocessing)


def test_inference_leaves_out_what_is_no_case_when_it_may(cohort: Path) -> None:
    with pytest.raises(CohortError, match="collides"):
        InferenceCases(cohort)
    found = InferenceCases(cohort, on_bad_case="skip")
    assert [case.case_id for case in found.cases] == ["A_1", "B_1", "C_1"]
    assert len(found.problems) == 2
