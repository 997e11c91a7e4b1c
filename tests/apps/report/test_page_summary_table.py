"""The printed summary shows the protocol, both tables and where the files are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from utad_monai.apps.report import show_summary, summary_lines
from utad_monai.apps.report.page import training_health

QUALITY = {"ssim": 0.91234, "psnr": 25.5, "nmse": 0.1, "mae": 0.05, "tumour_ssim": 0.8, "tumour_mae": None}
QUALITY |= {"tissue_order": 1.0, "tissue_contrast": -0.25}


@pytest.fixture
def summary() -> dict[str, Any]:
    return {
        "protocol": {"cohort": "phantom", "split": "test", "grid": "80x64", "student_sha256": "abc"},
        "image_quality": {"student": QUALITY, "copy_source": QUALITY | {"ssim": 0.5}},
        "dice": {"real": {"WT": 0.9, "TC": 0.8, "ET": 0.7}, "zero_fill": {"WT": 0.1, "TC": None, "ET": 0.0}},
        "cases": 3,
    }


def test_tables_have_one_line_per_method_with_three_decimals(summary: dict[str, Any]) -> None:
    lines = [line.split() for line in summary_lines(summary)]
    assert ["student", "0.912", "25.500", "0.050", "0.800", "-", "1.000", "-0.250"] in lines
    assert ["copy_source", "0.500", "25.500", "0.050", "0.800", "-", "1.000", "-0.250"] in lines
    assert ["WT", "TC", "ET"] in lines
    assert ["zero_fill", "0.100", "-", "0.000"] in lines


def test_columns_of_a_table_are_aligned(summary: dict[str, Any]) -> None:
    lines = summary_lines(summary)
    header = next(place for place, line in enumerate(lines) if line.split() == ["WT", "TC", "ET"])
    assert len({len(line) for line in lines[header : header + 3]}) == 1


def test_a_method_that_does_not_beat_the_contrast_map_is_called_so(summary: dict[str, Any]) -> None:
    marked = summary | {"below_contrast_map": {"student": ["ssim", "tumour_mae"]}}
    lines = summary_lines(marked)
    assert any(line.startswith("  student* ") for line in lines)
    assert any(line.startswith("  copy_source ") for line in lines)
    assert "  * student is no better than the contrast map in ssim, tumour_mae" in lines
    assert not any("*" in line for line in summary_lines(summary | {"below_contrast_map": {}}))


def test_methods_of_several_sources_have_a_row_per_number(summary: dict[str, Any]) -> None:
    by_sources = {"1": {"starter": QUALITY}, "2": {"starter": QUALITY | {"ssim": 0.95}}}
    text = [line.split() for line in summary_lines(summary | {"image_quality_by_sources": by_sources})]
    assert ["Image", "quality", "by", "number", "of", "sources:"] in text
    assert ["starter", "1", "0.912", "25.500", "0.050", "0.800", "-", "1.000", "-0.250"] in text
    assert ["starter", "2", "0.950", "25.500", "0.050", "0.800", "-", "1.000", "-0.250"] in text
    assert not any("number" in line for line in summary_lines(summary))


def test_the_best_route_of_every_set_is_printed_with_what_synthesis_adds(summary: dict[str, Any]) -> None:
    adds = {"route": "starter+tolerant", "mean": 0.8, "gain_mean": 0.05, "synthesis_adds": True}
    nothing = {"route": "zero_fill+tolerant", "mean": 0.7, "gain_mean": -0.01, "synthesis_adds": False}
    alone = {"route": "zero_fill", "mean": 0.6}
    best = {"flair+t2": {"WT": adds}, "t1": {"WT": nothing}, "t2": {"WT": alone}}
    text = [line.split() for line in summary_lines(summary | {"missing_modalities": {"best": best}})]
    assert ["flair", "t2", "0.800", "starter+tolerant", "0.050"] in text
    assert ["t1", "0.700", "zero_fill+tolerant", "nothing"] in text
    assert ["t2", "0.600", "zero_fill", "nothing"] in text
    assert not any("synthesis" in line for line in summary_lines(summary))


def test_protocol_is_shown_with_the_number_of_cases(summary: dict[str, Any]) -> None:
    text = "\n".join(summary_lines(summary))
    assert "Protocol (3 cases):" in text
    assert "cohort: phantom" in text
    assert "grid: 80x64" in text


def test_empty_evaluation_is_shown_without_numbers(summary: dict[str, Any]) -> None:
    lines = summary_lines(summary | {"dice": {}, "cases": 0})
    assert any("0 cases" in line for line in lines)


def test_files_are_named(summary: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("out") / "evaluation"
    evaluator: Any = SimpleNamespace(summary=lambda: summary, output_dir=folder, other_protocols=dict)
    show_summary(evaluator)
    shown = capsys.readouterr().out
    assert "student" in shown
    assert "out/evaluation/evaluation.csv" in shown
    assert "out/evaluation/summary.json" in shown


def test_every_training_that_was_watched_is_listed(tmp_path: Path) -> None:
    for folder, names in (("teacher", ["", "copies_input target_ignored"]), ("methods/stargan", ["", ""])):
        (tmp_path / folder).mkdir(parents=True)
        lines = [f"{epoch},{name}" for epoch, name in enumerate(names, start=1)]
        (tmp_path / folder / "health.csv").write_text("\n".join(["epoch,warnings", *lines]))
    (tmp_path / "student").mkdir()
    first, second = training_health(tmp_path)
    assert (first["name"], first["epochs"]) == ("teacher", 2)
    assert [(w["name"], w["epochs"]) for w in first["warnings"]] == [("copies input", "2"), ("target ignored", "2")]
    assert second == {"name": "stargan", "epochs": 2, "warnings": []}


def test_folder_without_trainings_has_none(tmp_path: Path) -> None:
    assert training_health(tmp_path) == []
