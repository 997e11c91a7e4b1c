"""A study in the report and on the terminal."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from utad_monai.apps.report.study_section import check_expected, show_study, study_section
from utad_monai.apps.study import StudyFile, StudyPlan


def test_a_folder_without_a_study_has_no_section(tmp_path: Path) -> None:
    assert study_section(tmp_path) is None


def test_cells_are_those_of_the_result_table(finished_study: Path, tiny_plan: StudyPlan) -> None:
    section = study_section(finished_study)
    assert section is not None
    assert section["reference"] == tiny_plan.reference
    results = pandas.read_csv(finished_study / StudyFile.RESULTS)
    first = section["tables"][0]
    row = next(row for row in first["rows"] if row["method"] == "stargan")
    known = results[(results["method"] == "stargan") & (results["protocol"] == "translation")].set_index("metric")
    assert [cell["mean"] for cell in row["cells"]] == pytest.approx(known.loc[list(first["metrics"]), "mean"].to_list())
    assert len(section["comparisons"]) == results["reference"].notna().sum()


def test_the_routes_of_a_study_are_read_from_its_long_table(finished_study: Path, tiny_plan: StudyPlan) -> None:
    section = study_section(finished_study)
    assert section is not None
    assert len(section["gaps"]["best"]) == 14
    routes = set(section["gaps"]["by_missing"]["all"])
    assert {"zero_fill", "zero_fill+tolerant", tiny_plan.reference, f"{tiny_plan.reference}+tolerant"} <= routes
    assert not any(route.startswith(("real", "stargan", "utad_teacher")) for route in routes)
    assert set(section["gaps"]["complete"]) == {"real", "real+tolerant"}


def test_a_missing_number_is_none_and_a_small_p_is_marked(finished_study: Path, tmp_path: Path) -> None:
    results = pandas.read_csv(finished_study / StudyFile.RESULTS)
    results.loc[results["method"] == "stargan", ["mean", "p_holm"]] = [float("nan"), 0.01]
    results.to_csv(tmp_path / StudyFile.RESULTS, index=False)
    (tmp_path / StudyFile.PROTOCOL).write_bytes((finished_study / StudyFile.PROTOCOL).read_bytes())
    section = study_section(tmp_path)
    assert section is not None
    cells = {row["method"]: row["cells"][0] for row in section["tables"][0]["rows"]}
    assert cells["stargan"]["mean"] is None
    assert cells["stargan"]["significant"]
    assert not cells["utad_b"]["significant"]


def test_the_main_measures_of_every_protocol_are_printed(
    finished_study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_study(pandas.read_csv(finished_study / StudyFile.RESULTS), finished_study)
    text = capsys.readouterr().out
    for word in ("translation", "missing", "augmentation", "distribution", "utad_a", "flat_brain", "tumour_mae", "fid"):
        assert word in text
    for line in ("split: test", "data_range: 1.0", "region: brain pixels", "window: brain percentiles 0.5-99.5"):
        assert line in text
    assert text.index("split: test") < text.index("translation")
    assert "upper bound, the best of the rows that use pairs: ssim" in text


def test_a_method_of_an_earlier_version_is_compared_by_its_name_of_today(finished_study: Path, tmp_path: Path) -> None:
    results = pandas.read_csv(finished_study / StudyFile.RESULTS)
    results["low"], results["high"] = results["mean"] - 0.1, results["mean"] + 0.1
    results["method"] = results["method"].replace({"flat_brain": "mean_fill"})
    results.to_csv(tmp_path / "expected.csv", index=False)
    assert "mean_fill" in (tmp_path / "expected.csv").read_text()
    assert check_expected(finished_study / StudyFile.RESULTS, tmp_path / "expected.csv")


def test_a_repetition_is_judged_by_the_intervals(
    finished_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = pandas.read_csv(finished_study / StudyFile.RESULTS)
    results["low"], results["high"] = results["mean"] - 0.1, results["mean"] + 0.1
    results.to_csv(tmp_path / "expected.csv", index=False)
    assert check_expected(finished_study / StudyFile.RESULTS, tmp_path / "expected.csv")
    assert "every mean lies within" in capsys.readouterr().out
    results.loc[results["method"] == "utad_a", ["low", "high"]] += 5
    results.to_csv(tmp_path / "expected.csv", index=False)
    assert not check_expected(finished_study / StudyFile.RESULTS, tmp_path / "expected.csv")
    assert "lie outside the intervals" in capsys.readouterr().out
