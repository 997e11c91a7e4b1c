"""What `check` found, as text for people and as JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from utad_monai import __version__
from utad_monai.apps.check.cohort import CaseGrid, CaseReport, CohortReport
from utad_monai.data.layouts.case import SEGMENTATION
from utad_monai.data.layouts.label_choice import LabelChoice
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind
from utad_monai.keys import Modality
from utad_monai.runtime.console import counted, visible
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
        "layouts": sorted({_layout(case) for case in report.cases}),
        "label_sets": [
            {"label_set": _said(choice), "labels": _labels(choice), "because": choice.because, "cases": count}
            for choice, count in report.label_sets
        ],
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


def _layout(checked: CaseReport) -> str:
    return checked.case.layout.described(checked.case.label_set)


def _said(choice: LabelChoice) -> str:
    return choice.label_set.name or choice.label_set.title


def _labels(choice: LabelChoice) -> dict[str, str]:
    return {str(value): str(word) for value, word in choice.label_set.words.items()}


def _grid(grid: CaseGrid) -> dict[str, Any]:
    return {"shape": list(grid.shape), "spacing_mm": list(grid.spacing_mm), "orientation": grid.orientation}


def _problem(report: CohortReport, found: Finding) -> dict[str, Any]:
    return {"case": found.case_id, "file": _file_record(report, found), "reason": found.text, "remedy": found.remedy}


def _warning(report: CohortReport, found: Finding) -> dict[str, Any]:
    return {"kind": str(found.kind), "case": found.case_id, "file": _file_record(report, found), "text": found.message}


def _file_record(report: CohortReport, found: Finding) -> str | None:
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


WIDTH = 80
"""Columns of the output, also in a wider terminal."""
_SHOWN = 8
"""Warnings of one kind that are listed; the JSON form has all."""
_PATTERNS = 12
TITLES = {
    FindingKind.FILE: "unusual files",
    FindingKind.NAME: "case names",
    FindingKind.UNCLAIMED: "images that no layout takes",
    FindingKind.INTENSITY: "intensities",
    FindingKind.SEGMENTATION: "segmentations",
    FindingKind.NOT_SKULL_STRIPPED: "not skull-stripped",
    FindingKind.MODALITY_MIX_UP: "suspected modality mix-up",
    FindingKind.DUPLICATE: "duplicates",
    FindingKind.BRAIN: "brains",
    FindingKind.UNLIKE_TRAINING: "unlike the training",
    FindingKind.REGISTRATION: "registrations",
    FindingKind.COVERAGE: "coverage",
}
"""What the warnings of each kind are shown under, in this order."""


def show_report(report: CohortReport, console: Console | None = None) -> None:
    """Write a report to the terminal; without one (in a pipe) there are no colours."""
    columns = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
    console = console or Console(width=columns, highlight=False)
    _show_head(report, console)
    if report.cases:
        _show_modalities(report, console)
        _show_grids(report, console)
    _show_problems(report, console)
    _show_warnings(report, console)


def _show_head(report: CohortReport, console: Console) -> None:
    _show_text(console, str(report.root), "bold")
    for layout in sorted({_layout(checked) for checked in report.cases}):
        _show_text(console, layout)
    for choice, count in report.label_sets:
        cases = f"{count} case{'s' if count > 1 else ''}"
        _show_text(console, f"Labels of {cases}: {_said(choice)}, said by {choice.because}")
    counts = counted(report.found, "case") + (f" of {counted(report.patients, 'patient')}" if report.cases else "")
    _show_text(console, f"{counts}: {report.usable} usable, {report.refused} refused")


def _show_modalities(report: CohortReport, console: Console) -> None:
    parts = (*Modality, SEGMENTATION)
    table = Table(*parts, "cases", title="Modalities that occur together", title_justify="left", title_style="bold")
    for present, count in report.patterns[:_PATTERNS]:
        table.add_row(*(str(part) if part in present else "-" for part in parts), str(count))
    if hidden := report.patterns[_PATTERNS:]:
        table.add_row(*("..." for _ in parts), str(sum(count for _, count in hidden)))
    table.add_section()
    table.add_row(*(str(sum(part in checked.parts for checked in report.cases)) for part in parts), "in all")
    console.print()
    console.print(table)


def _show_grids(report: CohortReport, console: Console) -> None:
    if not report.grids:
        return
    table = Table("voxels", "spacing (mm)", "stored", "cases", title="Grids", title_justify="left", title_style="bold")
    for grid, count in report.grids[:_PATTERNS]:
        sizes = (" x ".join(f"{size:g}" for size in sizes) for sizes in (grid.shape, grid.spacing_mm))
        table.add_row(*sizes, grid.orientation, str(count))
    if hidden := report.grids[_PATTERNS:]:
        table.add_row("...", f"{len(hidden)} more", "...", str(sum(count for _, count in hidden)))
    console.print()
    console.print(table)


def _show_problems(report: CohortReport, console: Console) -> None:
    console.print()
    if not report.problems:
        console.print("Problems: none", style="bold green")
        return
    refused = f", {report.refused} of {report.found} cases refused" if report.found else ""
    console.print(f"Problems: {len(report.problems)}{refused}", style="bold red")
    _show_findings(report, report.problems, console)


def _show_warnings(report: CohortReport, console: Console) -> None:
    console.print()
    if not report.warnings:
        console.print("Warnings: none", style="bold green")
        return
    console.print(f"Warnings: {len(report.warnings)}", style="bold yellow")
    for kind, title in TITLES.items():
        warnings = [warning for warning in report.warnings if warning.kind is kind]
        if warnings:
            console.print(f"  {title}: {_cases(warnings)}", style="yellow")
            _show_findings(report, warnings[:_SHOWN], console)
        if len(warnings) > _SHOWN:
            console.print(f"    ... and {len(warnings) - _SHOWN} more (all of them: --json)")


def _cases(findings: Iterable[Finding]) -> str:
    count = len({finding.case_id for finding in findings})
    return f"{count} case{'s' if count > 1 else ''}"


def _show_findings(report: CohortReport, findings: Iterable[Finding], console: Console) -> None:
    """List what was found, under the name of each case."""
    lines: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        where = f"{_file(report, finding.file, finding.case_id)}: " if finding.file else ""
        lines[finding.case_id].append(where + finding.message)
    for case_id, texts in lines.items():
        if case_id:
            _show_text(console, case_id, "bold", indent=4)
        for text in texts:
            _show_text(console, text, indent=6)


def _show_text(console: Console, text: str, style: str = "", indent: int = 0) -> None:
    """Write text in lines of the console's width, but never break a path."""
    leading = " " * indent
    lines = wrap(visible(text.strip()), console.width - len(leading), break_long_words=False, break_on_hyphens=False)
    for line in lines:
        console.print(Text(leading + line), style=style, soft_wrap=True)


def _file(report: CohortReport, path: Path, case_id: str) -> str:
    """Return a file's path below the cohort; within its case's own folder the name is enough."""
    relative = report.relative(path)
    if relative == Path():
        return str(report.root)
    return relative.name if relative.parent.name == case_id else str(relative)
