"""A case is opened once, until one of its files changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from utad_monai.apps.complete.intensities import ValidatedCases
from utad_monai.data import Case, Preprocessing, find_cases


@pytest.fixture
def case(tmp_path: Path, write_case: Callable[..., Path]) -> Case:
    write_case(tmp_path / "cohort", "a")
    return find_cases(tmp_path / "cohort")[0]


@pytest.fixture
def validated(tmp_path: Path, tiny_preprocessing: Preprocessing) -> ValidatedCases:
    return ValidatedCases(tmp_path / "out", tiny_preprocessing)


def test_warnings_are_kept_until_a_file_changes(validated: ValidatedCases, case: Case) -> None:
    assert validated.warnings(case) is None
    validated.keep(case, ("a doubt",))
    assert validated.warnings(case) == ("a doubt",)
    assert case.segmentation is not None
    case.segmentation.write_bytes(b"changed")
    assert validated.warnings(case) is None


@pytest.mark.parametrize("content", ["", "{}", "[3]", "3"])
def test_a_damaged_record_is_none(validated: ValidatedCases, case: Case, content: str) -> None:
    validated.keep(case, ())
    (record,) = validated.folder.iterdir()
    record.write_text(content, encoding="utf-8")
    assert validated.warnings(case) is None
