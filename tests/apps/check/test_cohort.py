"""A cohort is checked whole: no case stops the others, and nothing is written into it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from utad_monai.apps.check import CohortReport, FindingKind, check_cohort
from utad_monai.data import Preprocessing


@pytest.fixture
def cohort(tiny_cohort: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_cohort, tmp_path / "cohort"))


def check(root: Path, preprocessing: Preprocessing, workers: int = 2) -> CohortReport:
    return check_cohort(root, preprocessing, workers, progress=False)


def test_a_sound_cohort_is_sound(tiny_cohort: Path, tiny_preprocessing: Preprocessing) -> None:
    report = check(tiny_cohort, tiny_preprocessing)
    assert (report.exit_code, report.usable, report.found) == (0, 6, 6)
    assert (report.problems, report.warnings) == ((), ())


def test_one_bad_case_does_not_stop_the_others(cohort: Path, tiny_preprocessing: Preprocessing) -> None:
    (cohort / "BraTS_002" / "BraTS_002_t1.nii.gz").write_bytes(b"no image")
    report = check(cohort, tiny_preprocessing)
    assert (report.exit_code, report.usable, report.refused) == (2, 5, 1)
    assert [problem.file.name for problem in report.problems] == ["BraTS_002_t1.nii.gz"]


def test_cases_that_cannot_be_told_are_problems_beside_the_others(
    cohort: Path, tiny_preprocessing: Preprocessing
) -> None:
    (cohort / "BraTS_001" / "BraTS_001_t1.nii").touch()
    report = check(cohort, tiny_preprocessing)
    assert (report.exit_code, report.usable, report.refused) == (2, 5, 1)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_no_cohort_is_a_report_with_exit_code_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    report = check_cohort(tmp_path / name, progress=False)
    assert (report.exit_code, report.cases, len(report.problems)) == (1, (), 1)


def test_copies_between_cases_are_found(cohort: Path, tiny_preprocessing: Preprocessing) -> None:
    shutil.copy(cohort / "BraTS_001" / "BraTS_001_t2.nii.gz", cohort / "BraTS_004" / "BraTS_004_t2.nii.gz")
    findings = check(cohort, tiny_preprocessing).warnings
    assert [each.case_id for each in findings if each.kind is FindingKind.DUPLICATE] == ["BraTS_004"]


def test_image_that_no_layout_takes_is_a_warning_and_no_problem(
    cohort: Path, tiny_preprocessing: Preprocessing
) -> None:
    image = cohort / "BraTS_001" / "BraTS_001_t1ce.nii.gz"
    image.rename(image.with_name("BraTS_001_T1GD.nii.gz"))
    report = check(cohort, tiny_preprocessing)
    assert report.exit_code == 0
    (warning,) = [each for each in report.warnings if each.kind is FindingKind.UNCLAIMED]
    assert (warning.case_id, warning.file) == ("BraTS_001", image.with_name("BraTS_001_T1GD.nii.gz"))


def test_the_report_does_not_depend_on_the_workers(cohort: Path, tiny_preprocessing: Preprocessing) -> None:
    (cohort / "BraTS_002" / "BraTS_002_t1.nii.gz").write_bytes(b"no image")
    assert check(cohort, tiny_preprocessing, 1) == check(cohort, tiny_preprocessing, 5)


def test_nothing_is_written_into_the_cohort(cohort: Path, tiny_preprocessing: Preprocessing) -> None:
    before = {path: path.stat().st_mtime_ns for path in [cohort, *cohort.rglob("*")]}
    check(cohort, tiny_preprocessing)
    assert {path: path.stat().st_mtime_ns for path in [cohort, *cohort.rglob("*")]} == before


def test_the_root_of_a_table_is_its_folder(cohort: Path, tiny_preprocessing: Preprocessing) -> None:
    table = cohort / "two.csv"
    table.write_text("case,t1\na,BraTS_001/BraTS_001_t1.nii.gz\nb,BraTS_002/BraTS_002_t1.nii.gz\n", encoding="utf-8")
    report = check(table, tiny_preprocessing)
    assert (report.exit_code, report.usable, report.root) == (0, 2, cohort)
