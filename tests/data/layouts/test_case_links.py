"""Links may lead around inside a cohort, and beyond it only where the user says so."""

from __future__ import annotations

import os
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


def annexed(dataset: Path, cohort: Path, git: Path) -> Path:
    """Put an image of a cohort where git-annex puts it, and a link in its place, as `datalad save` does."""
    image = cohort / "A_1" / "A_1_t2.nii.gz"
    key = git / "annex" / "objects" / "x1" / "Qz" / "MD5E-s1.nii.gz" / "MD5E-s1.nii.gz"
    key.parent.mkdir(parents=True)
    shutil.move(image, key)
    way = Path(os.path.relpath(dataset, image.parent)) / ".git" / key.relative_to(git)
    image.symlink_to(way)
    return image


@pytest.fixture
def dataset(tmp_path: Path, write_case: Callable[..., Path]) -> Path:
    """A dataset with a cohort in one of its folders."""
    write_case(tmp_path / "super" / "sub" / "data" / "cohort", "A_1")
    return tmp_path / "super" / "sub"


def test_objects_of_the_dataset_that_a_cohort_is_part_of_are_read(dataset: Path) -> None:
    cohort = dataset / "data" / "cohort"
    assert annexed(dataset, cohort, dataset / ".git").is_symlink()
    assert [case.case_id for case in find_cases(cohort)] == ["A_1"]
    assert [case.case_id for case in find_cases(dataset / "data")] == ["A_1"]


def test_objects_of_a_dataset_in_a_dataset_are_read(dataset: Path) -> None:
    modules = dataset.parent / ".git" / "modules" / "sub"
    modules.mkdir(parents=True)
    (dataset / ".git").symlink_to("../.git/modules/sub")
    annexed(dataset, dataset / "data" / "cohort", modules)
    assert [case.case_id for case in find_cases(dataset / "data" / "cohort")] == ["A_1"]


def test_a_git_folder_that_is_a_link_to_elsewhere_allows_nothing(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (dataset / ".git").symlink_to(tmp_path / "secret")
    annexed(dataset, dataset / "data" / "cohort", tmp_path / "secret")
    with pytest.raises(CohortError, match="leads outside"):
        find_cases(dataset / "data" / "cohort")


def test_objects_that_are_a_link_to_elsewhere_allow_nothing(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "secret" / "annex").mkdir(parents=True)
    (dataset / ".git").mkdir()
    (dataset / ".git" / "annex").symlink_to(tmp_path / "secret" / "annex")
    annexed(dataset, dataset / "data" / "cohort", tmp_path / "secret")
    with pytest.raises(CohortError, match="leads outside"):
        find_cases(dataset / "data" / "cohort")


@pytest.mark.parametrize("place", [".git/config", ".git/annex/creds/key", "README", "other/.git/annex/objects/x"])
def test_what_else_lies_in_the_repository_is_outside(dataset: Path, place: str) -> None:
    image = dataset / "data" / "cohort" / "A_1" / "A_1_t2.nii.gz"
    (dataset / ".git" / "annex" / "objects").mkdir(parents=True)
    (dataset / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(image, dataset / place)
    image.symlink_to(dataset / place)
    with pytest.raises(CohortError, match="leads outside"):
        find_cases(dataset / "data" / "cohort")
