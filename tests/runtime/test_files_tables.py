"""Tables cannot run in a spreadsheet, and what is read back is what was written."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utad_monai.runtime.files import read_table, write_table

FORMULAE = ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x")', "\uff1d1", "'=1", "''@x"]


@pytest.mark.parametrize("text", FORMULAE)
def test_formulae_become_texts_and_come_back(tmp_path: Path, text: str) -> None:
    write_table(tmp_path / "a.csv", pandas.DataFrame({"case": [text, "sound"], text: [1, 2]}))
    raw = pandas.read_csv(tmp_path / "a.csv", dtype=str)
    assert list(raw["case"]) == [f"'{text}", "sound"]
    assert raw.columns[1] == f"'{text}"
    table = read_table(tmp_path / "a.csv")
    assert list(table["case"]) == [text, "sound"]
    assert list(table.columns) == ["case", text]


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    table = pandas.DataFrame({"value": [-0.5, float("nan"), 1e-9], "count": [-1, 0, 3], "mixed": [-0.25, "-x", None]})
    write_table(tmp_path / "a.csv", table)
    assert (tmp_path / "a.csv").read_text() == "value,count,mixed\n-0.5,-1,-0.25\n,0,'-x\n1e-09,3,\n"
    assert list(read_table(tmp_path / "a.csv")["count"]) == [-1, 0, 3]


def test_digits_can_be_chosen(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", pandas.DataFrame({"method": ["a"], "mean": [1 / 3]}), "%.3g")
    assert (tmp_path / "a.csv").read_text() == "method,mean\na,0.333\n"


def test_control_characters_are_written_out(tmp_path: Path) -> None:
    texts = ["\t=1", "\r=1", "a\nb", "\x1b[31mred", "\udcff", "a\u2028b"]
    write_table(tmp_path / "a.csv", pandas.DataFrame({"reason": texts}))
    lines = (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()
    assert lines == ["reason", r"\t=1", r"\r=1", r"a\nb", r"\x1b[31mred", r"\udcff", r"a\u2028b"]


def test_empty_tables_keep_their_head(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", pandas.DataFrame(columns=["case", "file"]))
    assert (tmp_path / "a.csv").read_text() == "case,file\n"
    assert list(read_table(tmp_path / "a.csv").columns) == ["case", "file"]


def test_table_that_was_given_is_left_alone(tmp_path: Path) -> None:
    table = pandas.DataFrame({"case": ["=1"]})
    write_table(tmp_path / "a.csv", table)
    assert list(table["case"]) == ["=1"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1), min_size=1))
def test_every_name_that_a_case_can_have_comes_back(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("t") / "a.csv"
    write_table(path, pandas.DataFrame({"case": names}))
    assert list(read_table(path, dtype=str, keep_default_na=False)["case"]) == names
    cells = pandas.read_csv(path, dtype=str, keep_default_na=False)["case"]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
