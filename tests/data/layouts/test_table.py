"""A CSV table lists a cohort; whatever would leave its folder is refused, all at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from utad_monai.data import TABLE, CohortError, find_cases, look_for_cases
from utad_monai.keys import Modality, ModalitySet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.nii.gz").touch()
    cohort = tmp_path / "cohort"
    (cohort / "scans").mkdir(parents=True)
    for name in ("a_flair", "a_t1", "a_seg", "b_t1", "b_t2"):
        (cohort / "scans" / f"{name}.nii.gz").touch()
    return cohort


def table(folder: Path, text: str, name: str = "cohort.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


GOOD = """case,patient,flair,t1,t1ce,t2,seg
a,p1,scans/a_flair.nii.gz,scans/a_t1.nii.gz,,,scans/a_seg.nii.gz
b,,,scans/b_t1.nii.gz,,scans/b_t2.nii.gz,
"""


def reasons(folder: Path) -> list[str]:
    return [str(problem) for problem in look_for_cases(folder).problems]


@pytest.mark.parametrize("given", ["folder", "file"])
def test_a_table_is_read(folder: Path, given: str) -> None:
    path = table(folder, GOOD)
    first, second = find_cases(folder if given == "folder" else path)
    assert (first.case_id, first.patient_id, first.layout) == ("a", "p1", TABLE)
    assert first.segmentation == folder / "scans" / "a_seg.nii.gz"
    assert (second.patient_id, list(second.images), second.segmentation) == ("b", [Modality.T1, Modality.T2], None)
    assert second.images[Modality.T2] == folder / "scans" / "b_t2.nii.gz"


def test_columns_are_the_modalities_that_are_looked_for(folder: Path) -> None:
    table(folder, "case,pd,t1\na,scans/b_t2.nii.gz,scans/a_t1.nii.gz\n")
    (case,) = find_cases(folder, ModalitySet(["t1", "t2", "pd"]))
    assert (list(case.images), case.missing) == (["t1", "pd"], ("t2",))
    assert case.layout.description.startswith("CSV table (t1, t2, pd;")
    with pytest.raises(CohortError, match=r"unknown columns 'pd'; .* flair, t1, t1ce, t2, seg"):
        find_cases(folder)


def test_a_table_of_another_name_is_read_when_given(folder: Path) -> None:
    path = table(folder, "case,t1\na,scans/a_t1.nii.gz\n", "other.CSV")
    assert [case.case_id for case in find_cases(path)] == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffcase,t1\na,scans/a_t1.nii.gz\n",
        "case,t1\r\na,scans/a_t1.nii.gz\r\n",
        " Case , T1 \n\na, scans/a_t1.nii.gz \n,\n",
        '"case","t1"\n"a","scans/a_t1.nii.gz"\n',
        "t1,case\nscans/a_t1.nii.gz,a",
    ],
    ids=["byte order mark", "Windows lines", "spaces and blank rows", "quotes", "other order"],
)
def test_what_spreadsheets_write_is_read(folder: Path, text: str) -> None:
    table(folder, text)
    (case,) = find_cases(folder)
    assert (case.case_id, dict(case.images)) == ("a", {Modality.T1: folder / "scans" / "a_t1.nii.gz"})


@pytest.mark.parametrize("cell", ["../secret.nii.gz", "scans/../../secret.nii.gz", "..\\secret.nii.gz", "/etc/passwd"])
def test_paths_outside_the_folder_are_refused(folder: Path, cell: str) -> None:
    table(folder, f"case,t1\na,{cell}\n")
    (text,) = reasons(folder)
    assert "case a: " in text
    assert "(line 2, t1) points outside the table's folder" in text


@pytest.mark.parametrize("cell", ["C:\\scans\\a_t1.nii.gz", "\\\\server\\a_t1.nii.gz"])
def test_windows_paths_are_refused(folder: Path, cell: str) -> None:
    table(folder, f"case,t1\na,{cell}\n")
    assert "outside" in reasons(folder)[0]


def test_links_that_leave_the_folder_are_refused_and_others_are_not(folder: Path) -> None:
    (folder / "inside.nii.gz").symlink_to(folder / "scans" / "a_t1.nii.gz")
    (folder / "outside.nii.gz").symlink_to(folder.parent / "secret.nii.gz")
    (folder / "away").symlink_to(folder.parent)
    table(folder, "case,t1\na,inside.nii.gz\nb,outside.nii.gz\nc,away/secret.nii.gz\n")
    found = look_for_cases(folder)
    assert [case.case_id for case in found.cases] == ["a"]
    assert [problem.text for problem in found.problems] == [
        "(line 3, t1) is a link that points outside the table's folder",
        "(line 4, t1) is a link that points outside the table's folder",
    ]


def test_missing_files_and_dead_links_are_told_apart(folder: Path) -> None:
    (folder / "dead.nii.gz").symlink_to(folder / "nowhere.nii.gz")
    (folder / "loop.nii.gz").symlink_to(folder / "loop.nii.gz")
    table(folder, "case,t1,t2,seg\na,none.nii.gz,dead.nii.gz,loop.nii.gz\n")
    missing, dead, loop = reasons(folder)
    assert "(line 2, t1) is missing" in missing
    assert "(line 2, t2) is a symbolic link" in dead
    assert "(line 2, seg) is a symbolic link" in loop


def test_all_problems_are_listed_at_once(folder: Path) -> None:
    rows = ["a,../secret.nii.gz,", "b,,scans/b_t2.nii.gz", "c,nowhere.nii.gz,/etc/passwd", "../d,scans/b_t1.nii.gz,"]
    table(folder, "\n".join(["case,t1,t2", *rows, "b,scans/a_t1.nii.gz,", "e,,", ",scans/a_t1.nii.gz,"]))
    with pytest.raises(CohortError) as refusal:
        find_cases(folder)
    assert [(problem.case_id, problem.text) for problem in refusal.value.problems] == [
        ("a", "(line 2, t1) points outside the table's folder"),
        ("c", "(line 4, t1) is missing: no such file"),
        ("c", "(line 4, t2) points outside the table's folder"),
        ("", "line 5: the case name '../d' would be a path: it holds a separator or begins with a dot"),
        ("b", "line 6: lists the case a second time"),
        ("e", "line 7: has no image"),
        ("", "line 8: the case name '' is empty"),
    ]


def test_one_file_in_two_columns_is_refused(folder: Path) -> None:
    table(folder, "case,t1,t1ce\na,scans/a_t1.nii.gz,./scans/a_t1.nii.gz\n")
    assert "gives the same file as t1 and as t1ce" in reasons(folder)[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("case,t1,t3,adc\n", "unknown columns 't3', 'adc'"),
        ("case;t1\na;b\n", "unknown columns 'case;t1'"),
        ("t1,t2\n", "no column case"),
        ("", "no column case"),
        ("case,t1,T1\n", "columns t1 twice"),
        ("case,t1\na,b,c\n", "3 cells in line 2 and 2 columns"),
        ('case,t1\na,"b\n', "not a readable CSV table"),
    ],
)
def test_what_is_no_table_of_a_cohort_is_refused_with_the_columns(folder: Path, text: str, reason: str) -> None:
    table(folder, text)
    with pytest.raises(CohortError, match=rf"cohort\.csv: .*{reason}.*; write a header with case and any of patient"):
        find_cases(folder)


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    (folder / "cohort.csv").write_bytes(b"case,t1\n\xff\xfe,x\n")
    with pytest.raises(CohortError, match="not a readable CSV table"):
        find_cases(folder)


def test_an_enormous_table_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(folder, GOOD)
    monkeypatch.setattr("utad_monai.data.layouts.table._MAX_TABLE_BYTES", 20)
    with pytest.raises(CohortError, match="too large"):
        find_cases(folder)


def test_a_table_without_rows_holds_no_case(folder: Path) -> None:
    table(folder, "case,t1\n")
    with pytest.raises(CohortError, match="holds no case"):
        find_cases(folder)


def test_names_that_differ_only_in_case_collide(folder: Path) -> None:
    table(folder, "case,t1\na,scans/a_t1.nii.gz\nA,scans/b_t1.nii.gz\n")
    assert "duplicate case name" in reasons(folder)[0]


def test_the_current_folder_is_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(folder, GOOD)
    monkeypatch.chdir(folder)
    assert len(find_cases("cohort.csv")) == 2
    assert len(find_cases(os.curdir)) == 2


def test_a_patient_column_wins_over_the_name_and_its_spellings_are_one(folder: Path) -> None:
    image = "scans/a_t1.nii.gz"
    rows = [
        *("P01_visit1,", "P01_visit2,X9", "a,7", "b,007", "c,p01", "d,7.0", "sub-01_ses-02,", "sub-01_ses-03,sub-01"),
        *("e,x9", "case_1,", "case_2,"),
    ]
    table(folder, "case,patient,t1\n" + "".join(f"{row},{image}\n" for row in rows))
    assert {case.case_id: case.patient_id for case in find_cases(folder)} == {
        "P01_visit1": "P01",
        "c": "P01",
        "P01_visit2": "X9",
        "e": "X9",
        "a": "007",
        "b": "007",
        "d": "007",
        "sub-01_ses-02": "sub-01",
        "sub-01_ses-03": "sub-01",
        "case_1": "case_1",
        "case_2": "case_2",
    }
