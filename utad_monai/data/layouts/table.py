"""A cohort as a CSV table: one row a case, one column a modality, paths relative to the table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath

from utad_monai.data.layouts.case import SEGMENTATION, Case, Containment, Layout
from utad_monai.data.layouts.label_choice import LabelChoice
from utad_monai.data.layouts.label_sets import LABEL_SET_KEY, LABEL_SETS
from utad_monai.data.layouts.patient import patient_of
from utad_monai.data.quality.case_name import name_error
from utad_monai.data.quality.finding import CohortError, Finding
from utad_monai.keys import FOUR_MODALITIES, Modality, ModalitySet

TABLE_FILE = "cohort.csv"
"""Name of the table that stands for its whole folder."""
TABLE = Layout(name="CSV table", names={m: str(m) for m in FOUR_MODALITIES}, label_set=None)
"""Columns case, patient, flair, t1, t1ce, t2 (or whatever modalities there are), seg, label_set, all but the first
optional."""

_CASE, _PATIENT = "case", "patient"
_MAX_TABLE_BYTES = 1 << 26


def table_of(dataset_dir: Path) -> Path | None:
    """Return the table that describes a cohort: the given CSV file, or the folder's `cohort.csv`."""
    if dataset_dir.suffix.lower() == ".csv" and dataset_dir.is_file():
        return dataset_dir
    inside = dataset_dir / TABLE_FILE
    return inside if inside.is_file() else None


@cache
def table_layout(modalities: ModalitySet) -> Layout:
    """Return the layout of a table with other modalities; of the four it is `TABLE`."""
    return TABLE if modalities == FOUR_MODALITIES else replace(TABLE, names={m: str(m) for m in modalities})


def is_listed(case: Case) -> bool:
    """Tell whether a table says what the images of a case are, and not their names."""
    return case.layout.name == TABLE.name


def read_case_table(
    path: Path, inside: Containment | None = None, modalities: ModalitySet = FOUR_MODALITIES
) -> tuple[list[Case], list[Finding]]:
    """Read the cases of a table; rows with problems are left out and reported.

    Args:
        path: the table.
        inside: where its files must lie; its folder when None.
        modalities: which columns there may be.

    Raises:
        CohortError: when the file is no table with the known columns.
    """
    inside = inside or Containment(path.parent)
    cases: dict[str, Case] = {}
    problems: list[Finding] = []
    for line, row in _rows(path, modalities):
        name = row[_CASE]
        reasons = [(path, f"line {line}: {error}")] if (error := name_error(name)) else []
        if name in cases:
            reasons.append((path, f"line {line}: lists the case a second time"))
        files: dict[str, Path] = {}
        for column in (*modalities, SEGMENTATION):
            if row[column]:
                files[column] = path.parent / row[column]
                reason = _unusable(path.parent, row[column], inside)
                reasons.extend([(files[column], f"(line {line}, {column}) {reason}")] if reason else [])
        reasons.extend((path, f"line {line}: {reason}") for reason in _no_case(files, modalities))
        said, wrong = _said_labels(row[LABEL_SET_KEY])
        reasons.extend([(path, f"line {line}: {wrong}")] if wrong else [])
        shown = "" if error else name
        problems.extend(Finding.error(shown, where, reason, "correct the table") for where, reason in reasons)
        if not reasons:
            images = {modality: files[modality] for modality in modalities if modality in files}
            segmentation, layout = files.get(SEGMENTATION), table_layout(modalities)
            cases[name] = Case(
                name,
                row[_PATIENT] or patient_of(name),
                images=images,
                segmentation=segmentation,
                layout=layout,
                modalities=modalities,
                labels_said=said,
            )
    return list(cases.values()), problems


def listed_case(case_id: str, images: Mapping[Modality, Path], modalities: ModalitySet = FOUR_MODALITIES) -> Case:
    """Return the case of images whose modalities somebody names one by one, as a row of a table does.

    Args:
        case_id: its name.
        images: the file of each modality, wherever it lies.
        modalities: those that a case should have.

    Raises:
        CohortError: with every file that is missing or given twice.
    """
    problems = [Finding.error("", path, "no such file", "correct the path") for path in images.values()]
    problems = [problem for problem in problems if problem.file and not problem.file.exists()]
    first: dict[Path, Modality] = {}
    for modality, path in images.items():
        other = first.setdefault(path.resolve(), modality)
        if other is not modality:
            problems.append(Finding.error("", path, f"is given as {other} and as {modality}", "give each image once"))
    if problems:
        raise CohortError(problems)
    ordered = {modality: images[modality] for modality in modalities if modality in images}
    layout = table_layout(modalities)
    return Case(case_id, case_id, images=ordered, segmentation=None, layout=layout, modalities=modalities)


def _columns(modalities: ModalitySet) -> tuple[str, ...]:
    return (_CASE, _PATIENT, *modalities, SEGMENTATION, LABEL_SET_KEY)


def _said_labels(cell: str) -> tuple[LabelChoice | None, str]:
    """Return the label set that a cell names, and what is wrong with it."""
    if not cell or cell in LABEL_SETS:
        return (LabelChoice(LABEL_SETS[cell], "the table") if cell else None), ""
    return None, f"{cell!r} is no label set: known are {', '.join(LABEL_SETS)}"


def _rows(path: Path, modalities: ModalitySet) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield line number and cells (empty where absent) of every row that is not blank."""
    try:
        if path.stat().st_size > _MAX_TABLE_BYTES:
            raise ValueError("it is too large")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = [name.strip().casefold() for name in next(reader, [])]
            _check_columns(path, columns, modalities)
            if _CASE not in columns:
                missing = _table_error(path, "has no column case", modalities)
                raise CohortError([*missing.problems, *_outside(path, columns, reader, modalities)])
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    _check_width(path, reader.line_num, cells, columns, modalities)
                    yield reader.line_num, dict.fromkeys(_columns(modalities), "") | _cells(columns, cells)
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, CohortError):
            raise
        raise _table_error(path, f"is not a readable CSV table ({error})", modalities) from error


def _cells(columns: list[str], cells: list[str]) -> dict[str, str]:
    """Pair columns and cells; only the case name keeps its spaces, so that they are noticed."""
    return {c: cell if c == _CASE else cell.strip() for c, cell in zip(columns, cells, strict=False)}


def _check_columns(path: Path, columns: list[str], modalities: ModalitySet) -> None:
    unknown = [name for name in columns if name not in _columns(modalities)]
    repeated = sorted({name for name in columns if columns.count(name) > 1} - set(unknown))
    if unknown:
        raise _table_error(path, f"has unknown columns {', '.join(map(repr, unknown[:8]))}", modalities)
    if repeated:
        raise _table_error(path, f"has the columns {', '.join(repeated)} twice", modalities)


def _check_width(path: Path, line: int, cells: list[str], columns: list[str], modalities: ModalitySet) -> None:
    if len(cells) > len(columns):
        reason = f"has {len(cells)} cells in line {line} and {len(columns)} columns"
        raise _table_error(path, reason, modalities)


def _unusable(folder: Path, cell: str, inside: Containment) -> str:
    """Return why a path of the table is not a file inside its folder; empty when it is."""
    posix, windows = PurePosixPath(cell), PureWindowsPath(cell)
    if posix.is_absolute() or windows.drive or windows.root or ".." in (*posix.parts, *windows.parts):
        return "points outside the table's folder"
    path = folder / cell
    try:
        path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # in this order: absent or too long, a link to itself, a null character
        return "is a symbolic link to a file that is missing" if _is_link(path) else "is missing: no such file"
    return "is a link that points outside the table's folder" if inside.leaves(path) else ""


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:  # a name that is too long for a file
        return False


def _no_case(files: Mapping[str, Path], modalities: ModalitySet) -> Iterator[str]:
    """Yield what is wrong with the files of one row as a whole."""
    if not any(modality in files for modality in modalities):
        yield "has no image"
    columns: dict[Path, str] = {}
    for column, path in files.items():
        if path in columns:
            yield f"gives the same file as {columns[path]} and as {column}"
        columns.setdefault(path, column)


def _outside(path: Path, columns: list[str], rows: Iterable[list[str]], modalities: ModalitySet) -> Iterator[Finding]:
    """Yield the cells of a table without case names that are no files inside its folder."""
    inside = Containment(path.parent)
    for line, cells in enumerate(rows, start=2):
        for column, cell in _cells(columns, cells).items():
            reason = _unusable(path.parent, cell, inside) if column in (*modalities, SEGMENTATION) and cell else ""
            if reason:
                yield Finding.error("", path.parent / cell, f"(line {line}, {column}) {reason}", "correct the table")


def _table_error(path: Path, reason: str, modalities: ModalitySet) -> CohortError:
    known = ", ".join(_columns(modalities)[1:])
    return CohortError.of(path, reason, f"write a header with {_CASE} and any of {known}, cells separated by commas")
