"""Names as BraTS 2023 has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from utad_monai.apps.complete.trees.case_names import CASES_FILE, official_names, read_names, write_names
from utad_monai.data import Case, find_cases


@pytest.fixture
def case(tmp_path: Path, write_case: Callable[..., Any]) -> Callable[..., Case]:
    write_case(tmp_path, "x")
    (found,) = find_cases(tmp_path)
    return lambda name, patient="": replace(found, case_id=name, patient_id=patient or name)


def test_patients_are_numbered_and_their_visits_too(case: Callable[..., Case]) -> None:
    names = official_names([case("p2"), case("p1_visit2", "p1"), case("p1_visit1", "p1")], {})
    assert names == {
        "p1_visit1": "BraTS-GLI-00001-000",
        "p1_visit2": "BraTS-GLI-00001-001",
        "p2": "BraTS-GLI-00002-000",
    }


def test_an_official_name_stays_and_nobody_else_gets_its_patients_number(case: Callable[..., Case]) -> None:
    names = official_names([case("a"), case("BraTS-MET-00001-001"), case("b")], {"b": "BraTS-MET-00001-001"})
    assert names == {
        "BraTS-MET-00001-001": "BraTS-MET-00001-001",
        "a": "BraTS-GLI-00002-000",
        "b": "BraTS-GLI-00003-000",
    }


def test_a_name_of_an_earlier_tree_is_kept_and_never_given_to_another(case: Callable[..., Case]) -> None:
    earlier = {"b_visit1": "BraTS-GLI-00001-000", "gone": "BraTS-GLI-00002-000"}
    names = official_names([case("a"), case("b_visit1", "b"), case("b_visit2", "b")], earlier)
    assert names == {
        "a": "BraTS-GLI-00003-000",
        "b_visit1": "BraTS-GLI-00001-000",
        "b_visit2": "BraTS-GLI-00001-001",
    }


def test_the_table_is_read_back_and_a_damaged_one_counts_as_none(tmp_path: Path) -> None:
    assert read_names(tmp_path) == {}
    write_names(tmp_path, {"=a": "BraTS-GLI-00001-000"})
    assert read_names(tmp_path) == {"=a": "BraTS-GLI-00001-000"}
    (tmp_path / CASES_FILE).write_text("case,name\na,../../elsewhere\n")
    assert read_names(tmp_path) == {}
    (tmp_path / CASES_FILE).write_bytes(b"\xff\x00")
    assert read_names(tmp_path) == {}
