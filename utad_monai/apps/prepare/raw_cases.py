"""Find the raw cases below a folder, and say which image is which; what can be read in two ways is a problem."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from utad_monai.apps.prepare.dicom import DicomSeries, group_series, is_dicom
from utad_monai.apps.prepare.raw_images import RawFormat, RawSource, format_of, stem_of
from utad_monai.data.quality.finding import CohortError, Finding
from utad_monai.data.sequences import RawRole, recognise

USE_THE_TABLE = "name the files in a CSV table with the columns case,flair,t1,t1ce,t2,seg,brain_mask"
_MAX_DEPTH = 6
_MR = ("MR", "")


@dataclass(frozen=True)
class RawCase:
    """The raw images of one case.

    Attributes:
        case_id: name of its folder or its row.
        folder: where it is.
        sources: the image of each role.
        unused: images that are recognised and not needed, for the screen only.
        unknown: images that are not recognised, for the screen only.
        problems: why it cannot be used; empty for a usable case.
    """

    case_id: str
    folder: Path
    _: KW_ONLY
    sources: Mapping[RawRole, RawSource]
    unused: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    problems: tuple[Finding, ...] = field(default=())


def find_raw_cases(raw_dir: Path) -> list[RawCase]:
    """Read every folder of a cohort as one case, by name.

    Raises:
        CohortError: when there is no folder, or none holds an image.
    """
    if not raw_dir.is_dir():
        raise CohortError.of(raw_dir, "is not a folder", "give the folder that holds one folder per case, or a table")
    folders = [path for path in sorted(raw_dir.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    cases = [_folder_case(folder, raw_dir.resolve()) for folder in folders]
    cases = [case for case in cases if case.sources or case.unused or case.unknown or case.problems]
    if not cases:
        reason = "holds no case: no folder in it has a DICOM, NIfTI, NRRD or MetaImage file"
        raise CohortError.of(raw_dir, reason, "put the images of each case into a folder of its own")
    return cases


def _folder_case(folder: Path, root: Path) -> RawCase:
    files = list(_files(folder, _MAX_DEPTH))
    outside = [path for path in files if not path.resolve().is_relative_to(root)]
    if outside:
        reason = "is a link to a file outside the cohort's folder"
        problem = Finding.error(folder.name, outside[0], reason, "copy the file into the folder")
        return RawCase(folder.name, folder, sources={}, problems=(problem,))
    series, reports = group_series(path for path in files if format_of(path) is None and is_dicom(path))
    found = [_read_name(folder, path) for path in files if format_of(path) is not None]
    found += [_read_series_name(folder, one) for one in series]
    return _assign(folder, found, reports)


def _files(folder: Path, depth: int) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        if depth > 1 and path.is_dir():
            yield from _files(path, depth - 1)
        elif path.is_file() or path.is_symlink():  # a link to nothing is told when it is read
            yield path


def _read_name(folder: Path, path: Path) -> tuple[frozenset[RawRole], RawSource]:
    kind = format_of(path)
    assert kind is not None  # the caller asked
    name = stem_of(path)
    roles = recognise(_without_case(name, folder.name)) or _read_folders(folder, path.parent)
    return roles, RawSource(path, kind)


def _read_series_name(folder: Path, series: DicomSeries) -> tuple[frozenset[RawRole], RawSource]:
    """Read the description, and the folder's name too; when they differ, the series is both."""
    source = RawSource(series.folder, RawFormat.DICOM, series=series)
    if series.kind not in _MR:
        return frozenset({RawRole.OTHER}), source
    by_description = recognise(series.description)
    by_folder = _read_folders(folder, series.folder)
    if by_description == {RawRole.OTHER}:
        return by_description, source
    return by_description | (by_folder - {RawRole.OTHER}), source


def _read_folders(case_folder: Path, folder: Path) -> frozenset[RawRole]:
    """Read the name of the innermost folder, below the case's own, that says anything."""
    while folder != case_folder:
        roles = recognise(_without_case(folder.name, case_folder.name))
        if roles:
            return roles
        folder = folder.parent
    return frozenset()


def _without_case(name: str, case_id: str) -> str:
    return name[len(case_id) :] if name.casefold().startswith(case_id.casefold()) else name


def _assign(folder: Path, found: list[tuple[frozenset[RawRole], RawSource]], reports: list[Path]) -> RawCase:
    """Give each role its one image; two images of one role, or two roles of one image, are problems."""
    problems = []
    claims: dict[RawRole, list[RawSource]] = defaultdict(list)
    for roles, source in found:
        if len(roles) > 1:
            reason = f"{source.text} can be {' or '.join(sorted(roles))}"
            problems.append(Finding.error(folder.name, source.path, reason, USE_THE_TABLE))
        for role in roles if len(roles) == 1 else ():
            claims[role].append(source)
    for role, claimants in claims.items():
        if role is not RawRole.OTHER and len(claimants) > 1:
            names = ", ".join(source.text for source in claimants)
            problems.append(
                Finding.error(folder.name, folder, f"{len(claimants)} images claim {role}: {names}", USE_THE_TABLE)
            )
    sources: dict[RawRole, RawSource] = {
        role: claims[role][0] for role in RawRole if role in claims and role is not RawRole.OTHER
    }
    unknown = [source.text for roles, source in found if not roles] + [path.name for path in reports]
    if not any(role.modality for role in sources) and not problems and found:
        reason = f"no image is recognised as flair, t1, t1ce or t2: {', '.join(s.text for _, s in found)}"
        problems.append(Finding.error(folder.name, folder, reason, USE_THE_TABLE))
    unused = tuple(source.text for source in claims.get(RawRole.OTHER, ()))
    return RawCase(
        folder.name, folder, sources=sources, unused=unused, unknown=tuple(unknown), problems=tuple(problems)
    )


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
    problems: list[Finding] = []
    sources: dict[RawRole, RawSource] = {}
    for role in _ROLES:
        if role in cells:
            found = _source(folder, cells[role])
            if isinstance(found, RawSource):
                sources[role] = found
            else:
                problems.append(Finding.error(case_id, folder / cells[role], *found))
    if not any(role.modality for role in sources) and not problems:
        problems.append(Finding.error(case_id, folder, "the row names no image", "fill in at least one of its cells"))
    return RawCase(case_id, folder, sources=sources, problems=tuple(problems))


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
        return RawSource(folder, RawFormat.DICOM, series=series[0])
    if series:
        numbers = ", ".join(one.number or "?" for one in series)
        return f"holds {len(series)} DICOM series ({numbers})", "name one file of the series instead of the folder"
    return "is no DICOM, NIfTI, NRRD or MetaImage image", "correct the table"


def _table_error(table: Path, reason: str) -> CohortError:
    remedy = f"write a CSV with the columns {CASE_COLUMN},{','.join(_ROLES)}"
    return CohortError.of(table, reason, remedy)
