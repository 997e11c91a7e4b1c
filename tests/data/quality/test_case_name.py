"""Names that would leave a folder or break a table are told from those that are only unusual."""

from __future__ import annotations

import pytest

from utad_monai.data.layouts import doubtful_name, unsafe_name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("a/b", "path"),
        ("a\\b", "path"),
        ("..", "path"),
        (".hidden", "path"),
        ("a\nb", "control"),
        ("a\x00b", "control"),
        ("a\u2028b", "control"),
        ("a\udc80", "control"),
        (" a", "space"),
        ("a ", "space"),
        ("x" * 201, "longer"),
        ("患" * 70, "longer"),
    ],
)
def test_unsafe_names_are_told(name: str, reason: str) -> None:
    assert reason in unsafe_name(name)
    assert reason in doubtful_name(name)


@pytest.mark.parametrize("name", ["BraTS_001", "BräTS_患者_001", "BraTS 001 (copy)", "case.with.dots", "x" * 200])
def test_unusual_names_are_fine(name: str) -> None:
    assert unsafe_name(name) == ""
    assert doubtful_name(name) == ""


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@a"])
def test_names_that_spreadsheets_compute_are_doubtful(name: str) -> None:
    assert unsafe_name(name) == ""
    assert "formula" in doubtful_name(name)


def test_invisible_characters_are_doubtful() -> None:
    assert unsafe_name("a\u200bb") == ""
    assert "invisible" in doubtful_name("a\u200bb")
