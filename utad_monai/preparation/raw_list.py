"""A table that names the raw images of each case: `case,flair,t1,t1ce,t2,seg,brain_mask`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from utad_monai.data.problems import CohortError, CohortProblem
from utad_monai.preparation.dicom_headers import group_series, is_dicom
from utad_monai.preparation.raw_cases import RawCase
from utad_monai.preparation.raw_images import RawFormat, RawSource, format_of
from utad_monai.preparation.settings import RawRole

CASE_COLUMN = "case"
_ROLES = tuple(role for role in RawRole if role is not RawRole.OTHER)


def read_raw_list(table: Path) -> list[RawCase]:
    """Read a table of raw cases; paths are relative to it and never leave its folder.

    A cell holds an image file, a folder with one DICOM series, or one file of a DICOM series; it may be empty.

    Raises:
        CohortError: when the table cannot be read, lacks its columns, or holds no row.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = [name.strip() for name in reader.fieldnames or ()], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _table_error(table, f"cannot be read as a table ({error})") from error
    unknown = set(columns) - {CASE_COLUMN, *_ROLES}
    if CASE_COLUMN not in columns or unknown or not rows:
        reason = f"has columns {', '.join(columns) or 'none'} and {len(rows)} rows"
        raise _table_error(table, reason)
    return [_row_case(table.parent, {str(key).strip(): value for key, value in row.items()}) for row in rows]


def _row_case(folder: Path, row: Mapping[str, str | list[str] | None]) -> RawCase:
    cells = {key: value.strip() for key, value in row.items() if isinstance(value, str) and value.strip()}
    case_id = cells.get(CASE_COLUMN, "")
    problems: list[CohortProblem] = []
    sources: dict[RawRole, RawSource] = {}
    for role in _ROLES:
        if role in cells:
            found = _source(folder, cells[role])
            if isinstance(found, RawSource):
                sources[role] = found
            else:
                problems.append(CohortProblem(case_id, folder / cells[role], *found))
    if not any(role.modality for role in sources) and not problems:
        problems.append(CohortProblem(case_id, folder, "the row names no image", "fill in at least one of its cells"))
    return RawCase(case_id, folder, sources, problems=tuple(problems))


def _source(folder: Path, cell: str) -> RawSource | tuple[str, str]:
    """Return the image that a cell names, or the reason and remedy why it names none."""
    path = folder / cell
    if not path.resolve().is_relative_to(folder.resolve()):
        return "lies outside the table's folder", "move the table or the image"
    if not path.exists():
        return "does not exist", "correct the table; paths are relative to it"
    kind = format_of(path)
    if path.is_file() and kind is not None:
        return RawSource(path, kind)
    return _series(path, folder.resolve())


def _series(path: Path, root: Path) -> RawSource | tuple[str, str]:
    folder = path if path.is_dir() else path.parent
    inside = (file for file in folder.iterdir() if file.is_file() and file.resolve().is_relative_to(root))
    series, _ = group_series(file for file in inside if not file.name.startswith(".") and is_dicom(file))
    if path.is_file():
        series = [one for one in series if any(part.path == path for part in one.slices)]
    if len(series) == 1:
        return RawSource(folder, RawFormat.DICOM, series[0])
    if series:
        numbers = ", ".join(one.number or "?" for one in series)
        return f"holds {len(series)} DICOM series ({numbers})", "name one file of the series instead of the folder"
    return "is no DICOM, NIfTI, NRRD or MetaImage image", "correct the table"


def _table_error(table: Path, reason: str) -> CohortError:
    remedy = f"write a CSV with the columns {CASE_COLUMN},{','.join(_ROLES)}"
    return CohortError([CohortProblem("", table, reason, remedy)])
