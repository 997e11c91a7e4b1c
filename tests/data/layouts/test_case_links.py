"""Links may lead around inside a cohort, and beyond it only where the user says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from utad_monai.data import CohortError, find_cases, look_for_cases
from utad_monai.data.layouts import case as links
from utad_monai.data.layouts.case import LINKS_VARIABLE, Containment, remember_links


@pytest.fixture
def cohort(tmp_path: Path, write_case: Callable[..., Path]) -> Path:
    """Two cases, one of them with an image that lies elsewhere."""
    root = tmp_path / "cohort"
    write_case(root, "A_1")
    write_case(root, "B_1")
    (tmp_path / "away").mkdir()
    shutil.move(root / "A_1" / "A_1_t1.nii.gz", tmp_path / "away" / "t1.nii.gz")
    (root / "A_1" / "A_1_t1.nii.gz").symlink_to(tmp_path / "away" / "t1.nii.gz")
    return root


def test_a_link_out_of_the_cohort_is_refused_and_costs_its_case_alone(cohort: Path) -> None:
    with pytest.raises(CohortError, match=rf"case A_1: .*A_1_t1\.nii\.gz: .*leads outside.*{LINKS_VARIABLE}"):
        find_cases(cohort)
    assert [case.case_id for case in look_for_cases(cohort).cases] == ["B_1"]


def test_the_user_may_name_where_links_lead(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LINKS_VARIABLE, f"/nowhere:{tmp_path / 'away'}")
    assert [case.case_id for case in find_cases(cohort)] == ["A_1", "B_1"]


def test_links_inside_and_a_cohort_that_is_a_link_are_fine(cohort: Path, tmp_path: Path) -> None:
    shutil.rmtree(cohort / "A_1")
    (cohort / "store").mkdir()
    shutil.move(cohort / "B_1" / "B_1_t1.nii.gz", cohort / "store" / "image")
    (cohort / "B_1" / "B_1_t1.nii.gz").symlink_to(cohort / "store" / "image")
    (tmp_path / "link").symlink_to(cohort)
    assert find_cases(tmp_path / "link")


def test_a_linked_folder_is_not_looked_into(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cohort / "more").symlink_to(tmp_path)
    scanned: list[str] = []
    scan = links.os.scandir
    monkeypatch.setattr("os.scandir", lambda path: (scanned.append(str(path)), scan(path))[1])
    (problem,) = (p for p in look_for_cases(cohort).problems if not p.case_id)
    assert problem.file == cohort / "more"
    assert str(cohort / "more") not in scanned


def test_what_a_tree_links_to_is_remembered_for_its_place_alone(cohort: Path, tmp_path: Path) -> None:
    target = (cohort / "A_1" / "A_1_t1.nii.gz").resolve()
    assert Containment(cohort).leaves(target)
    remember_links(cohort, [tmp_path / "away"])
    assert not Containment(cohort).leaves(target)
    cohort.rename(tmp_path / "moved")
    assert Containment(tmp_path / "moved").leaves(target)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"folders": 3}', '{"folders": [3]}'])
def test_a_damaged_memory_allows_nothing(cohort: Path, tmp_path: Path, content: str) -> None:
    remember_links(cohort, [tmp_path / "away"])
    links._record(cohort).write_text(content, encoding="utf-8")
    assert Containment(cohort).leaves((cohort / "A_1" / "A_1_t1.nii.gz").resolve())


def test_a_home_that_cannot_be_written_is_a_warning(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("UTAD_MONAI_HOME", str(tmp_path / "file"))
    remember_links(cohort, [tmp_path])
    assert LINKS_VARIABLE in caplog.text


def test_a_description_of_a_task_that_lies_elsewhere_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"modality": {"0": "password"}}', encoding="utf-8")
    (tmp_path / "task" / "imagesTr").mkdir(parents=True)
    (tmp_path / "task" / "imagesTr" / "a.nii.gz").touch()
    (tmp_path / "task" / "dataset.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(CohortError, match="leads outside") as refusal:
        find_cases(tmp_path / "task")
    assert "password" not in str(refusal.value)


def test_a_table_that_is_a_link_out_of_the_cohort_is_refused(cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_text("case,t1\nA_1,A_1/A_1_t1.nii.gz\n", encoding="utf-8")
    (cohort / "cohort.csv").symlink_to(tmp_path / "cohort.csv")
    with pytest.raises(CohortError, match="leads outside"):
        find_cases(cohort)
