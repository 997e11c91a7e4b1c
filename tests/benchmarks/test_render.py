from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.everything import BENCHMARKS
from benchmarks.render import PAGES, RESULTS, places, rendered

RESULT = {"machine": {"cores": 2, "memory_gb": 3.5}, "figures": {"times_faster": [1.25, 1.0, 1.5], "size": {"f": 8}}}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_holds_the_figures_of_the_results_and_no_others(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert rendered(page, json.loads(RESULTS.read_text(encoding="utf-8"))) == page


def test_every_benchmark_has_one_place_and_every_place_a_benchmark() -> None:
    assert sorted(places()) == sorted(BENCHMARKS)
    assert set(json.loads(RESULTS.read_text(encoding="utf-8"))) <= set(BENCHMARKS)


def test_every_table_of_the_performance_page_is_a_rendered_one() -> None:
    inside = False
    for line in PAGES[0].read_text(encoding="utf-8").splitlines():
        inside = line.startswith("<!-- figures of ") or (inside and line != "<!-- end -->")
        assert inside or not line.startswith("|"), line


def test_a_figure_has_its_spread_and_its_machine() -> None:
    page = rendered("# Page\n<!-- figures of data -->\nold | 3\n<!-- end -->\nrest\n", {"data": RESULT})
    assert "| times faster | 1.25 (1 to 1.5) |\n| size, f | 8 |" in page
    assert "cores 2, memory gb 3.5." in page
    assert "old" not in page
    assert page.endswith("<!-- end -->\nrest\n")


def test_what_was_not_measured_is_said() -> None:
    page = rendered("<!-- figures of data -->\n| gone | 3 |\n<!-- end -->\n", {})
    assert page == "<!-- figures of data -->\nNot measured yet.\n<!-- end -->\n"
