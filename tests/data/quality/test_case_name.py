"""Names that would leave a folder or break a table are told from those that are only unusual."""

from __future__ import annotations

import pytest

from utad_monai.data.quality.case_name import folded_name, folder_name_error, name_error, name_warning, unsafe_name


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
    assert name_warning(name) == name_error(name) == f"the case name {name!r} {unsafe_name(name)}"


@pytest.mark.parametrize("name", ["BraTS_001", "BräTS_患者_001", "BraTS 001 (copy)", "case.with.dots", "x" * 200])
def test_unusual_names_are_fine(name: str) -> None:
    assert unsafe_name(name) == name_error(name) == ""
    assert name_warning(name) == folder_name_error(name) == ""


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@a"])
def test_names_that_spreadsheets_compute_are_warned_of(name: str) -> None:
    assert unsafe_name(name) == ""
    assert "formula" in name_warning(name)


def test_invisible_characters_are_warned_of() -> None:
    assert unsafe_name("a\u200bb") == ""
    assert "invisible" in name_warning("a\u200bb")


@pytest.mark.parametrize("name", ["a:b", "a*", "a?", 'a"', "<a>", "a|b", "a/b", "a\\b", "a\x07", "a\u200b", "a\u00a0b"])
def test_a_folder_has_only_characters_that_every_disk_knows(name: str) -> None:
    assert folder_name_error(name) == "has a case name with characters that files cannot have"


@pytest.mark.parametrize("name", ["", " ", " a", "a ", ".a", ".."])
def test_a_folder_is_neither_hidden_nor_without_a_name(name: str) -> None:
    assert folder_name_error(name) == "has an empty or hidden case name"


@pytest.mark.parametrize("other", ["case_é", "CASE_É", "case_e\u0301"])
def test_names_that_differ_in_case_or_in_how_accents_are_composed_are_the_same(other: str) -> None:
    assert folded_name(other) == folded_name("Case_É")
    assert folded_name(other) != folded_name("Case_E")
