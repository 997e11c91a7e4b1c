"""The JSON form has the documented keys, relative paths, and survives any file name."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from utad_monai import __version__
from utad_monai.apps.check import CohortReport, check_cohort, report_as_json, write_report_json
from utad_monai.data import CohortError, Preprocessing

DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs" / "check.md"


@pytest.fixture
def report(tmp_path: Path, write_case: object, tiny_preprocessing: Preprocessing) -> CohortReport:
    for case_id, modalities in (("A_1", ["t1", "t2"]), ("B_2", ["t1"]), ("=C", ["t1", "t2"])):
        write_case(tmp_path / "cohort", case_id, modalities, segmentation=case_id == "A_1", seed=ord(case_id[0]))
    (tmp_path / "cohort" / "B_2" / "B_2_t1.nii.gz").write_bytes(b"")
    return check_cohort(tmp_path / "cohort", tiny_preprocessing, progress=False)


def test_numbers_and_tables(report: CohortReport) -> None:
    content = report_as_json(report)
    assert json.loads(json.dumps(content)) == content
    assert (content["schema"], content["version"], content["exit_code"]) == (1, __version__, 2)
    assert (content["cases"], content["usable"], content["refused"], content["patients"]) == (3, 2, 1, 3)
    assert content["available"] == {"flair": 0, "t1": 3, "t1ce": 0, "t2": 2, "seg": 1}
    assert {"parts": ["t1", "t2", "seg"], "cases": 1} in content["patterns"]
    grid = {"shape": [24, 20, 12], "spacing_mm": [1.5, 1.5, 3.0], "orientation": "LPS"}
    assert content["grids"] == [{**grid, "cases": 2}]
    assert [row["case"] for row in content["table"]] == ["=C", "A_1", "B_2"]
    assert content["table"][1] == {
        "case": "A_1",
        "patient": "A_1",
        "layout": "BraTS 2017-2021",
        "usable": True,
        "images": {"t1": "A_1/A_1_t1.nii.gz", "t2": "A_1/A_1_t2.nii.gz"},
        "channels": {},
        "segmentation": "A_1/A_1_seg.nii.gz",
        "grid": grid,
    }


def test_problems_and_warnings(report: CohortReport) -> None:
    content = report_as_json(report)
    (problem,) = content["problems"]
    assert (problem["case"], problem["file"]) == ("B_2", "B_2/B_2_t1.nii.gz")
    assert "empty" in problem["reason"]
    assert problem["remedy"]
    (warning,) = content["warnings"]
    assert (warning["kind"], warning["case"], warning["file"]) == ("name", "=C", None)


def test_every_key_is_documented(report: CohortReport) -> None:
    documented = set(re.findall(r"`([a-z_0-9]+)`", DOCUMENTATION.read_text(encoding="utf-8")))
    content = report_as_json(report)
    keys = {*content, *content["problems"][0], *content["warnings"][0], *content["table"][0], *content["grids"][0]}
    assert keys | {"parts"} <= documented


def test_a_file_is_written(report: CohortReport, tmp_path: Path) -> None:
    write_report_json(report, tmp_path / "out" / "check.json")
    assert json.loads((tmp_path / "out" / "check.json").read_text()) == report_as_json(report)


def test_a_dash_is_standard_output(report: CohortReport, capsys: pytest.CaptureFixture[str]) -> None:
    write_report_json(report, "-")
    assert json.loads(capsys.readouterr().out) == report_as_json(report)


@pytest.mark.parametrize("name", ["check.json", "new/check.json", "A_1/../check.json"])
def test_nothing_is_written_into_the_cohort(report: CohortReport, name: str) -> None:
    with pytest.raises(CohortError, match="inside the cohort"):
        write_report_json(report, report.root / name)


def test_names_that_are_no_text_are_written(tmp_path: Path, tiny_preprocessing: Preprocessing) -> None:
    folder = os.fsencode(tmp_path / "cohort")
    os.mkdir(folder)
    Path(os.fsdecode(folder + b"/\xff_t1.nii")).touch()
    write_report_json(check_cohort(tmp_path / "cohort", tiny_preprocessing, progress=False), tmp_path / "check.json")
    (problem,) = json.loads((tmp_path / "check.json").read_text())["problems"]
    assert "case name '\\udcff' holds control characters" in problem["reason"]
