"""The numbers of a report add up, and decide the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from utad_monai.apps.check import CaseGrid, CaseReport, CohortReport, Finding, FindingKind
from utad_monai.data import BRATS_2023, Case
from utad_monai.keys import Modality

ROOT = Path("cohort")
GRID = CaseGrid((4, 5, 6), (1.0, 1.0, 2.0), orientation="LPS")


def problem(case_id: str) -> Finding:
    return Finding.error(case_id, ROOT / "file", "is broken", "mend it")


def report(case_id: str, *modalities: str, seg: bool = False, bad: bool = False) -> CaseReport:
    images = {Modality(name): ROOT / f"{case_id}-{name}.nii" for name in modalities or ("t1",)}
    case = Case(case_id, case_id[0], images=images, segmentation=ROOT / "seg.nii" if seg else None, layout=BRATS_2023)
    finding = Finding.warning(FindingKind.NAME, case_id, None, "odd")
    errors = (problem(case_id),) if bad else ()
    return CaseReport(case, None if bad else GRID, findings=(*errors, finding), digests={})


def cohort(*cases: CaseReport, problems: tuple[Finding, ...] = ()) -> CohortReport:
    return CohortReport(ROOT, cases, findings=(*problems, Finding.warning(FindingKind.DUPLICATE, "a1", None, "copy")))


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (cohort(report("a1"), report("b1")), 0),
        (cohort(report("a1"), report("b1", bad=True)), 2),
        (cohort(report("a1"), problems=(problem("c1"),)), 2),
        (cohort(report("a1"), problems=(problem(""),)), 2),
        (cohort(report("a1", bad=True)), 1),
        (cohort(problems=(problem(""),)), 1),
    ],
)
def test_exit_code(found: CohortReport, code: int) -> None:
    assert found.exit_code == code


def test_usable_and_refused_cases_add_up() -> None:
    found = cohort(
        report("a1"), report("a2"), report("b1", bad=True), problems=(problem("c1"), problem("c1"), problem(""))
    )
    assert (found.found, found.usable, found.refused, found.patients) == (4, 2, 2, 2)


def test_patterns_and_grids_are_counted() -> None:
    found = cohort(report("a1", "t1", "t2"), report("a2", "t1"), report("a3", "t1"), report("b1", "t1", seg=True))
    assert found.patterns == [(("t1",), 2), (("t1", "t2"), 1), (("t1", "seg"), 1)]
    assert found.grids == [(GRID, 4)]


def test_problems_of_no_case_come_first_and_warnings_are_sorted_by_case() -> None:
    found = cohort(report("b1"), report("a1", bad=True), problems=(problem(""),))
    assert [each.case_id for each in found.problems] == ["", "a1"]
    assert [(each.case_id, each.kind.value) for each in found.warnings] == [
        ("a1", "name"),
        ("a1", "duplicate"),
        ("b1", "name"),
    ]


def test_paths_are_relative_inside_the_cohort_only() -> None:
    assert cohort().relative(ROOT / "a" / "b.nii") == Path("a/b.nii")
    assert cohort().relative(Path("/elsewhere")) == Path("/elsewhere")
