"""A folder with several examinations is several cases of one patient, or refused with their days; never one case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.dicom import Examination
from utad_monai.apps.prepare.raw_cases import RawCase, find_raw_cases, read_raw_list, with_patients_linked
from utad_monai.data.quality.finding import Finding

Write = Callable[..., Path]


@pytest.fixture
def series(scanner: dict[str, Callable[..., Any]]) -> Write:
    """Write a small series; its UID is told by its number."""
    volume = sitk.GaussianSource(sitk.sitkFloat32, [8, 7, 5], [3, 3, 3], [4, 3, 2], 100)

    def write(
        folder: Path, description: str, number: int, study: str = "1.2.1", day: str = "20190301", **tags: str
    ) -> Path:
        written: Path = scanner["write_dicom"](
            folder, volume, description, number, **{"0020_000d": study, "0008_0020": day, **tags}
        )
        return written

    return write


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def told(cases: list[RawCase]) -> dict[str, set[str]]:
    assert not [problem for case in cases for problem in case.problems]
    return {case.case_id: {str(role) for role in case.sources} for case in cases}


def the_problem(root: Path) -> Finding:
    (case,) = find_raw_cases(root)
    (problem,) = case.problems
    assert "\n" not in str(problem)
    return problem


@pytest.mark.parametrize(
    ("one", "other", "first", "second"),
    [
        ("ses-01/anat/t1", "ses-02/anat/flair", "ses-01", "ses-02"),
        ("2019-03-01/t1", "2020-06-01/flair", "2019-03-01", "2020-06-01"),
        ("20190301_101500_t1/a", "20200601_flair/b", "2019-03-01", "2020-06-01"),
        ("week-000-1/t1", "week-044/flair", "week-000-1", "week-044"),
        ("preop/t1", "postop/flair", "postop", "preop"),
        ("Timepoint_1/t1", "Timepoint_2/flair", "Timepoint_1", "Timepoint_2"),
        ("anat/P_ses-01_t1", "anat/P_ses-02_flair", "ses-01", "ses-02"),
        ("P_20190301_t1", "P_20200601_flair", "2019-03-01", "2020-06-01"),
        ("P_time1_t1", "P_time2_flair", "time1", "time2"),
        ("baseline/t1", "followup/flair", "baseline", "followup"),
    ],
)
def test_time_points_that_names_tell_are_cases_of_one_patient(
    tmp_path: Path, one: str, other: str, first: str, second: str
) -> None:
    touch(tmp_path / "P1", f"{one}.nii.gz", f"{other}.nii.gz")
    cases = find_raw_cases(tmp_path)
    assert [case.case_id for case in cases] == [f"P1_{first}", f"P1_{second}"]
    assert told(cases)[f"P1_{first}"] | told(cases)[f"P1_{second}"] == {"t1", "flair"}
    assert [case.patient for case in cases] == ["P1", "P1"]


@pytest.mark.parametrize(
    "names",
    [
        ["ses-01/t1", "ses-01/flair"],
        ["2019-03-01/t1", "20190301_flair"],
        ["T1_POST/a", "T1_PRE/b", "post/flair"],
        ["ses-01/t1", "flair"],
        ["1/t1", "2/flair", "301/t2"],
        ["2019-03-01/t1", "2019-03-01/flair", "2020-06-01/dwi"],
    ],
)
def test_one_time_point_stays_one_case_of_the_folders_name(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path / "P1", *[f"{name}.nii.gz" for name in names])
    assert list(told(find_raw_cases(tmp_path))) == ["P1"]


def test_an_image_between_time_points_is_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path / "P1", "ses-01/t1.nii.gz", "ses-02/t1.nii.gz", "seg.nii.gz")
    assert "holds 2 time points (ses-01, ses-02), and seg.nii.gz is in none of them" in str(the_problem(tmp_path))


@pytest.mark.parametrize(
    "other",
    [
        {"study": "1.2.2", "day": "20200601"},
        {"study": "1.2.2", "day": "2019.09.01"},
        {"day": "20200601"},
        {"0008_0022": "20200601"},
        {"study": "1.2.2", "day": "20190302"},
    ],
)
def test_studies_of_different_days_are_cases_of_one_patient_and_no_day_is_in_their_names(
    tmp_path: Path, series: Write, other: dict[str, str]
) -> None:
    series(tmp_path / "P1" / "dicom", "T1", 1, **{"0008_0022": "20190301"})
    series(tmp_path / "P1" / "dicom", "FLAIR", 2, **other)
    cases = find_raw_cases(tmp_path)
    assert told(cases) == {"P1_ses-1": {"t1"}, "P1_ses-2": {"flair"}}
    assert [case.patient for case in cases] == ["P1", "P1"]
    assert "2019-03-01, one of 2 in P1" in cases[0].notes[0]
    assert cases[0].warnings == ()


def test_studies_that_cannot_be_divided_are_refused_with_both_and_their_days(tmp_path: Path, series: Write) -> None:
    series(tmp_path / "P1" / "dicom", "T1", 1)
    series(tmp_path / "P1" / "dicom", "FLAIR", 2, "1.2.2", "20200601")
    touch(tmp_path / "P1", "seg.nii.gz")
    problem = the_problem(tmp_path)
    for part in ("2019-03-01", "2020-06-01", "1.2.1", "1.2.2", "series 1 'T1'", "series 2 'FLAIR'"):
        assert part in str(problem)
    for part in ("2019-03-01", "2020-06-01", "1.2.1"):
        assert part not in str(problem.public)


@pytest.mark.parametrize("day", ["20190301", "20190302", ""])
def test_two_studies_of_one_session_are_one_case_with_a_warning(tmp_path: Path, series: Write, day: str) -> None:
    frame = {"0020_0052": "1.2.9"}
    series(tmp_path / "P1" / "dicom", "T1", 1, **frame)
    series(tmp_path / "P1" / "dicom", "FLAIR", 2, "1.2.2", day, **frame)
    (case,) = find_raw_cases(tmp_path)
    assert told([case]) == {"P1": {"t1", "flair"}}
    assert "2 DICOM studies of one day, taken for one session" in case.warnings[0]
    assert "2019" not in case.warnings[0]


def test_studies_without_days_are_asked_about(tmp_path: Path, series: Write) -> None:
    series(tmp_path / "P1" / "dicom", "T1", 1, "1.2.1", "")
    series(tmp_path / "P1" / "dicom", "FLAIR", 2, "1.2.2", "")
    assert "study 1.2.1" in str(the_problem(tmp_path))


def test_images_that_are_not_used_say_nothing_of_time(tmp_path: Path, series: Write) -> None:
    series(tmp_path / "P1" / "dicom", "T1", 1)
    series(tmp_path / "P1" / "dicom", "ep2d DWI", 2, "1.2.2", "20200601")
    assert told(find_raw_cases(tmp_path)) == {"P1": {"t1"}}


@pytest.mark.parametrize(
    ("one", "other", "session"),
    [
        (Examination("1", "2019-03-01"), Examination("2", "2019-03-01"), True),
        (Examination("1", "2019-03-01"), Examination("1", "2019-03-02"), True),
        (Examination("1", "2019-03-01"), Examination("2", "2019-03-02"), False),
        (Examination("1", "2019-03-01"), Examination("1", "2019-03-03"), False),
        (Examination("1"), Examination("1", "2019-03-03"), True),
        (Examination("1"), Examination("2", "2019-03-03"), False),
        (Examination("1", frame="9"), Examination("2", frame="9"), True),
        (
            Examination("1", "2019-03-01", acquired="2019-03-01"),
            Examination("1", "2019-03-01", acquired="2020-03-01"),
            False,
        ),
        (Examination(), Examination(), True),
    ],
)
def test_a_session_is_a_day_or_a_study(one: Examination, other: Examination, session: bool) -> None:
    assert one.may_be_of(other) is other.may_be_of(one) is session


def test_rows_of_a_table_hold_one_time_point(tmp_path: Path, series: Write) -> None:
    series(tmp_path / "a", "T1", 1)
    series(tmp_path / "b", "FLAIR", 2, "1.2.2", "20200601")
    touch(tmp_path, "sub-01/ses-01/t1.nii.gz", "sub-01/ses-02/flair.nii.gz")
    table = tmp_path / "cases.csv"
    table.write_text(
        "case,t1,flair,patient\nx,a,b,\ny,sub-01/ses-01/t1.nii.gz,sub-01/ses-02/flair.nii.gz,\nz_visit2,a,,\nw,,b,Z\n"
    )
    x, y, z, w = read_raw_list(table)
    assert "2019-03-01" in str(x.problems[0])
    assert "images of 2 time points (ses-01, ses-02)" in str(y.problems[0])
    assert (z.problems, z.patient) == ((), "z")
    assert (w.problems, w.patient) == ((), "Z")
    assert {case.patient for case in with_patients_linked([z, w])} == {"Z"}


def linked(root: Path) -> dict[str, str]:
    return {case.case_id: case.patient for case in with_patients_linked(find_raw_cases(root))}


def test_folders_with_one_patient_id_are_one_patient_and_the_identifier_goes_nowhere(
    tmp_path: Path, series: Write
) -> None:
    for name, identifier in {"alpha": "A-1", "beta": "a-1", "gamma": "B-2", "delta": ""}.items():
        series(tmp_path / name, "T1", 1, **{"0010_0020": identifier})
    assert linked(tmp_path) == {"alpha": "alpha", "beta": "alpha", "delta": "delta", "gamma": "gamma"}
    shown = repr(with_patients_linked(find_raw_cases(tmp_path)))
    assert "A-1" not in shown
    assert "B-2" not in shown


@pytest.mark.parametrize("identifier", ["ANONYMOUS", "anon", "0000", "unknown", "", "XXXX", "---"])
def test_a_placeholder_joins_nobody(tmp_path: Path, series: Write, identifier: str) -> None:
    for name in ("alpha", "beta"):
        series(tmp_path / name, "T1", 1, **{"0010_0020": identifier})
    assert linked(tmp_path) == {"alpha": "alpha", "beta": "beta"}


def test_an_identifier_that_all_cases_have_is_a_placeholder_and_said_to_be(
    tmp_path: Path, series: Write, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("alpha", "beta", "gamma"):
        series(tmp_path / name, "T1", 1, **{"0010_0020": "SITE"})
    assert len(set(linked(tmp_path).values())) == 3
    assert "all cases have the same PatientID" in caplog.text


def test_two_patients_in_one_case_are_said(tmp_path: Path, series: Write) -> None:
    series(tmp_path / "P1" / "dicom", "T1", 1, **{"0010_0020": "A"})
    series(tmp_path / "P1" / "dicom", "FLAIR", 2, **{"0010_0020": "B"})
    (case,) = find_raw_cases(tmp_path)
    assert "2 different PatientIDs" in case.warnings[0]
