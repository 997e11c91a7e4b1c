"""The machine-readable form of a check; `docs/check.md` documents its keys."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from utad_monai import __version__
from utad_monai.apps.check.cohort import CaseGrid, CaseReport, CohortReport
from utad_monai.data.layouts.case import SEGMENTATION
from utad_monai.data.quality.finding import CohortError, Finding
from utad_monai.keys import Modality
from utad_monai.runtime.files import atomic_path

SCHEMA = 1
"""Raised whenever a key changes its name or meaning; new keys may come without."""


def report_as_json(report: CohortReport) -> dict[str, Any]:
    """Return a report as plain data; paths are relative to the cohort's folder, in POSIX form."""
    parts = (*Modality, SEGMENTATION)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "cohort": str(report.root),
        "exit_code": report.exit_code,
        "layouts": sorted({case.case.layout.description for case in report.cases}),
        "cases": report.found,
        "usable": report.usable,
        "refused": report.refused,
        "patients": report.patients,
        "available": {str(part): sum(part in case.parts for case in report.cases) for part in parts},
        "patterns": [{"parts": [str(part) for part in parts], "cases": count} for parts, count in report.patterns],
        "grids": [{**_grid(grid), "cases": count} for grid, count in report.grids],
        "problems": [_problem(report, found) for found in report.problems],
        "warnings": [_warning(report, found) for found in report.warnings],
        "table": [_case(report, case) for case in report.cases],
    }


def _grid(grid: CaseGrid) -> dict[str, Any]:
    return {"shape": list(grid.shape), "spacing_mm": list(grid.spacing_mm), "orientation": grid.orientation}


def _problem(report: CohortReport, found: Finding) -> dict[str, Any]:
    return {"case": found.case_id, "file": _file(report, found), "reason": found.text, "remedy": found.remedy}


def _warning(report: CohortReport, found: Finding) -> dict[str, Any]:
    return {"kind": str(found.kind), "case": found.case_id, "file": _file(report, found), "text": found.message}


def _file(report: CohortReport, found: Finding) -> str | None:
    return None if found.file is None else report.relative(found.file).as_posix()


def _case(report: CohortReport, checked: CaseReport) -> dict[str, Any]:
    case = checked.case
    return {
        "case": case.case_id,
        "patient": case.patient_id,
        "layout": case.layout.name,
        "usable": checked.usable,
        "images": {str(modality): report.relative(path).as_posix() for modality, path in case.images.items()},
        "channels": {str(m): case.channel(m) for m in case.images if case.channel(m) is not None},
        "segmentation": report.relative(case.segmentation).as_posix() if case.segmentation else None,
        "grid": _grid(checked.grid) if checked.grid else None,
    }


def write_report_json(report: CohortReport, destination: str | Path) -> None:
    """Write a report as JSON.

    Args:
        report: what to write.
        destination: a file outside the cohort, or `-` for standard output.

    Raises:
        CohortError: when the file would lie inside the cohort.
    """
    # in ASCII: file names may hold bytes that are no text
    text = json.dumps(report_as_json(report), indent=4) + "\n"
    if str(destination) == "-":
        sys.stdout.write(text)
        return
    path = Path(destination)
    if path.resolve().is_relative_to(report.root.resolve()):
        reason = "lies inside the cohort, into which nothing is written"
        raise CohortError.of(path, reason, "choose another place")
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="ascii")
