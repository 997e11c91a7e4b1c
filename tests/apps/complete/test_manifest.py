"""Every case once, the same bytes whenever it is written."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pandas
import pytest

from utad_monai.apps.complete import MANIFEST_FILE, MANIFEST_JSON, CaseResult, VolumeResult, log_result, write_manifest
from utad_monai.keys import CompletionStatus, Modality

DONE = VolumeResult(
    Modality.T1, CompletionStatus.DONE, sources=("flair", "t2"), file="a/a_t1.nii.gz", details={"x": 1}, kept=True
)
BAD = VolumeResult(Modality.T2, CompletionStatus.REFUSED, reason="case a: t2: why\nand why else")
RESULTS = [
    CaseResult("c", reason="nothing is missing"),
    CaseResult("b", reason="is there twice", refused=True),
    CaseResult("a", (DONE, BAD), warnings=("odd", "odder"), patient="p", visit="2"),
]


def test_a_case_is_refused_when_anything_of_it_was() -> None:
    assert [result.status for result in RESULTS] == ["skipped", "refused", "refused"]
    assert CaseResult("d", (DONE,)).status is CompletionStatus.DONE
    assert CaseResult("d", (DONE,)).kept
    assert not RESULTS[2].kept
    assert not RESULTS[0].kept


def test_table_has_every_case_once_in_order(tmp_path: Path) -> None:
    write_manifest(tmp_path, RESULTS)
    table = pandas.read_csv(tmp_path / MANIFEST_FILE, keep_default_na=False)
    assert list(table.columns) == [
        "case",
        "status",
        "made",
        "sources",
        "reason",
        "warnings",
        "files",
        "patient",
        "visit",
    ]
    assert list(table["case"]) == ["a", "b", "c"]
    first = table.iloc[0]
    assert (first["made"], first["sources"], first["files"]) == ("t1", "flair+t2", "a/a_t1.nii.gz")
    assert first["reason"] == "case a: t2: why | and why else"
    assert first["warnings"] == "odd | odder"
    assert (first["patient"], first["visit"]) == ("p", "2")
    assert table.iloc[2]["patient"] == ""


def test_json_holds_everything_and_the_protocol(tmp_path: Path) -> None:
    write_manifest(tmp_path, RESULTS, {"settings": 1})
    content = json.loads((tmp_path / MANIFEST_JSON).read_text())
    assert content["protocol"] == {"settings": 1}
    assert [case["case"] for case in content["cases"]] == ["a", "b", "c"]
    assert content["cases"][0]["volumes"][0]["sidecar"] == {"x": 1}
    assert content["cases"][0]["volumes"][1]["status"] == "refused"
    assert content["cases"][1]["reasons"] == ["is there twice"]


def test_order_of_the_results_does_not_change_the_bytes(tmp_path: Path) -> None:
    write_manifest(tmp_path / "one", RESULTS)
    write_manifest(tmp_path / "two", reversed(RESULTS))
    for name in (MANIFEST_FILE, MANIFEST_JSON):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_an_empty_cohort_still_has_a_header(tmp_path: Path) -> None:
    write_manifest(tmp_path, [])
    assert (tmp_path / MANIFEST_FILE).read_text().startswith("case,status,made")


def test_warnings_and_reasons_are_logged_a_line_each(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_result(RESULTS[2])
        log_result(RESULTS[0])
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "ERROR", "ERROR"]
    assert caplog.messages[0] == "case a: odd"
    assert caplog.messages[3] == "and why else"
