from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from utad_monai.reports.study_section import study_section
from utad_monai.study import StudyFile, StudyPlan


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
