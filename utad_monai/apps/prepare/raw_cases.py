"""Find the raw cases below a folder, and say which image is which; what can be read in two ways is a problem."""

from __future__ import annotations

import csv
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path

from utad_monai.apps.prepare.dicom import DicomSeries, group_series, is_dicom
from utad_monai.apps.prepare.raw_images import RawFormat, RawSource, format_of, stem_of
from utad_monai.apps.prepare.time_points import (
    one_session_warnings,
    same_patient,
    several_named_times,
    several_times,
    time_points,
)
from utad_monai.data.layouts.case import LEAVES, REMEDY, Containment
from utad_monai.data.layouts.label_choice import LabelChoice
from utad_monai.data.layouts.patient import joined_patients, patient_of
from utad_monai.data.quality.finding import CohortError, Finding
from utad_monai.data.sequences import (
    DESCRIPTION,
    FOLDER,
    NAME,
    RawRole,
    Recognition,
    contradiction,
    read_name,
    read_sidecar,
    recognise,
)

USE_THE_TABLE = "name the files in a CSV table with the columns case,flair,t1,t1ce,t2,seg,brain_mask"
MERGE_THEM = "merge them into one series (dcm2niix -m y), or export the image again"
_MAX_DEPTH = 6
_MOST_NAMED = 3
_logger = logging.getLogger(__name__)
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
        patient: whom it is of.
        warnings: what somebody should look at before it is read.
        notes: what only the screen shows.
        labels: what its segmentation means, and who says so; None without one, or where nobody was asked.
    """

    case_id: str
    folder: Path
    _: KW_ONLY
    sources: Mapping[RawRole, RawSource]
    unused: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    problems: tuple[Finding, ...] = field(default=())
    patient: str = ""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def identifiers(self) -> frozenset[str]:
        """Hashes of the PatientIDs of its DICOM headers."""
        found = (source.examination for source in self.sources.values())
        return frozenset(one.patient for one in found if one and one.patient)

    labels: LabelChoice | None = None


def find_raw_cases(raw_dir: Path) -> list[RawCase]:
    """Read every folder of a cohort as one case, or as one for each time point in it, by name.

    Raises:
        CohortError: when there is no folder, or none holds an image.
    """
    if not raw_dir.is_dir():
        raise CohortError.of(raw_dir, "is not a folder", "give the folder that holds one folder per case, or a table")
    folders = [path for path in sorted(raw_dir.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    inside = Containment(raw_dir)
    cases = [case for folder in folders for case in _folder_cases(folder, inside)]
    cases = [case for case in cases if case.sources or case.unused or case.unknown or case.problems]
    if not cases:
        reason = "holds no case: no folder in it has a DICOM, NIfTI, NRRD or MetaImage file"
        raise CohortError.of(raw_dir, reason, "put the images of each case into a folder of its own")
    return cases


def _folder_cases(folder: Path, inside: Containment) -> list[RawCase]:
    files = list(_files(folder, _MAX_DEPTH))
    outside = [path for path in files if inside.leaves(path)]
    if outside:
        problem = Finding.error(folder.name, outside[0], LEAVES, REMEDY)
        return [RawCase(folder.name, folder, sources={}, problems=(problem,))]
    series, reports = group_series(path for path in files if format_of(path) is None and is_dicom(path))
    found = [_read_file(folder, path, inside) for path in files if format_of(path) is not None]
    found += [_read_series(folder, one) for one in series]
    return list(_by_time_point(folder, found, reports))


def _by_time_point(folder: Path, found: list[tuple[Recognition, RawSource]], reports: list[Path]) -> Iterator[RawCase]:
    """Make a case of each time point in a folder; what belongs to none of them goes with the first."""
    known = {id(source): what for what, source in found}
    sources = [source for _, source in found]
    points = time_points(folder, sources, lambda source: bool(known[id(source)].roles - {RawRole.OTHER}))
    for point in points:
        members = [(known[id(source)], source) for source in point.sources]
        case = _assign(folder, members, reports if point is points[0] else [])
        problems = [replace(problem, case_id=point.case_id) for problem in case.problems]
        yield replace(
            case,
            case_id=point.case_id,
            # several images of one role are no wonder where there are several time points
            problems=point.problems or tuple(problems),
            patient=patient_of(point.case_id),
            warnings=point.warnings,
            notes=point.notes,
        )


def _files(folder: Path, depth: int) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        if depth > 1 and path.is_dir():
            yield from _files(path, depth - 1)
        elif path.is_file() or path.is_symlink():  # a link to nothing is told when it is read
            yield path


def _read_file(folder: Path, path: Path, inside: Containment) -> tuple[Recognition, RawSource]:
    kind = format_of(path)
    assert kind is not None  # the caller asked
    names = {NAME: _without_case(stem_of(path), folder.name), FOLDER: _speaking_folder(folder, path.parent)}
    sidecar = read_sidecar(path, folder.parent, inside.leaves)
    return recognise(names, sidecar), RawSource(path, kind)


def _read_series(folder: Path, series: DicomSeries) -> tuple[Recognition, RawSource]:
    """Hear the description, and the folder's name too; when they differ, the series is both."""
    source = RawSource(series.folder, RawFormat.DICOM, series=series)
    if series.kind not in _MR:
        return Recognition(frozenset({RawRole.OTHER})), source
    names = {DESCRIPTION: series.description, FOLDER: _speaking_folder(folder, series.folder)}
    return recognise(names, series.evidence), source


def _speaking_folder(case_folder: Path, folder: Path) -> str:
    """Return the name of the innermost folder, below the case's own, that says anything."""
    while folder != case_folder:
        name = _without_case(folder.name, case_folder.name)
        if read_name(name).speaks:
            return name
        folder = folder.parent
    return ""


def _without_case(name: str, case_id: str) -> str:
    return name[len(case_id) :] if name.casefold().startswith(case_id.casefold()) else name


def _assign(folder: Path, found: list[tuple[Recognition, RawSource]], reports: list[Path]) -> RawCase:
    """Give each role its one image; two images of one role, or two roles of one image, are problems."""
    problems: list[Finding | None] = []
    claims: dict[RawRole, list[RawSource]] = defaultdict(list)
    for what, source in found:
        if len(what.roles) > 1:
            problems.append(Finding.error(folder.name, source.path, f"{source.text} {what.reason}", USE_THE_TABLE))
        elif what.role:
            claims[what.role].append(source)
    problems.extend(_claimed_twice(folder, role, sources) for role, sources in claims.items() if len(sources) > 1)
    sources: dict[RawRole, RawSource] = {
        role: claims[role][0] for role in RawRole if role in claims and role is not RawRole.OTHER
    }
    unknown = [source.text for what, source in found if not what.roles] + list(_named_reports(reports))
    if not any(role.modality for role in sources) and not problems and (found or reports):
        reason = f"no image is recognised as flair, t1, t1ce or t2: {', '.join(s.text for _, s in found)}"
        problems.append(Finding.error(folder.name, folder, reason, USE_THE_TABLE))
    unused = tuple(source.text for source in claims.get(RawRole.OTHER, ()))
    return RawCase(
        folder.name,
        folder,
        sources=sources,
        unused=unused,
        unknown=tuple(unknown),
        problems=tuple(dict.fromkeys(one for one in problems if one)),
    )


def _claimed_twice(folder: Path, role: RawRole, claimants: list[RawSource]) -> Finding | None:
    """Return the problem of several images of one role; of single slices, that they are one image in many series."""
    if role is RawRole.OTHER:
        return None
    slices = [one for one in claimants if one.series is not None and len(one.series.slices) == 1]
    if len(slices) == len(claimants) > _MOST_NAMED:
        reason = f"{len(slices)} DICOM series of one slice claim {role}, such as {slices[0].text}: one image in pieces?"
        return Finding.error(folder.name, slices[0].path, reason, MERGE_THEM)
    names = ", ".join(source.text for source in claimants)
    return Finding.error(folder.name, folder, f"{len(claimants)} images claim {role}: {names}", USE_THE_TABLE)


def _named_reports(paths: list[Path]) -> Iterator[str]:
    """Yield the names of DICOM files that hold no readable image; of many in one folder, the first and how many."""
    for parent in dict.fromkeys(path.parent for path in paths):
        inside = [path.name for path in paths if path.parent == parent]
        if len(inside) <= _MOST_NAMED:
            yield from inside
        else:
            yield f"{len(inside)} DICOM files without a readable image in {parent.name}/ ({inside[0]}, ...)"


def with_patients_linked(cases: Sequence[RawCase]) -> list[RawCase]:
    """Take cases that share a PatientID, or spellings of one name, for one patient; no identifier is written."""
    names = {case.case_id: case.patient for case in cases}
    groups, everybody = same_patient({case.case_id: case.identifiers for case in cases}, names)
    if everybody:
        _logger.warning(
            "all cases have the same PatientID: a placeholder, so it joins none; name patients in the column patient"
        )
    patients = joined_patients(names, groups)
    linked = {case_id: group for group in groups for case_id in group if len({names[c] for c in group}) > 1}
    return [
        replace(
            case,
            patient=patients[case.case_id],
            notes=(*case.notes, *_link_notes(linked.get(case.case_id, []), patients[case.case_id])),
        )
        for case in cases
    ]


def _link_notes(group: Sequence[str], patient: str) -> Iterator[str]:
    if group:
        yield f"{', '.join(group)} have the same PatientID: taken for one patient, {patient}"


CASE_COLUMN = "case"
_PATIENT_COLUMN = "patient"
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
    unknown = set(columns) - {CASE_COLUMN, _PATIENT_COLUMN, *_ROLES}
    if CASE_COLUMN not in columns or unknown or not rows:
        reason = f"has columns {', '.join(columns) or 'none'} and {len(rows)} rows"
        raise _table_error(table, reason)
    return [_row_case(table.parent, {str(key).strip(): value for key, value in row.items()}) for row in rows]


def _row_case(folder: Path, row: Mapping[str, str | list[str] | None]) -> RawCase:
    cells = {key: value.strip() for key, value in row.items() if isinstance(value, str) and value.strip()}
    case_id = cells.get(CASE_COLUMN, "")
    problems: list[Finding] = []
    sources: dict[RawRole, RawSource] = {}
    doubts = []
    for role in _ROLES:
        if role in cells:
            found = _source(folder, cells[role])
            if isinstance(found, RawSource):
                sources[role] = found
                doubts += [f"{role}: {doubt}"] if (doubt := _doubt(folder, role, found)) else []
            else:
                problems.append(Finding.error(case_id, folder / cells[role], *found))
    if not any(role.modality for role in sources) and not problems:
        problems.append(Finding.error(case_id, folder, "the row names no image", "fill in at least one of its cells"))
    if not problems:
        problems += several_named_times(case_id, folder, sources.values())
        problems += several_times(case_id, folder, list(sources.values()))
    return RawCase(
        case_id,
        folder,
        sources=sources,
        problems=tuple(problems),
        patient=cells.get(_PATIENT_COLUMN) or patient_of(case_id),
        warnings=(*doubts, *one_session_warnings(sources.values())),
    )


def _doubt(folder: Path, role: RawRole, source: RawSource) -> str:
    """Return how an image contradicts the column that it stands in; the table decides all the same."""
    if source.series is not None:
        return contradiction(role, "the table", source.series.evidence, source.series.description)
    sidecar = read_sidecar(source.path, folder, Containment(folder).leaves)
    return contradiction(role, "the table", sidecar, stem_of(source.path))


def _source(folder: Path, cell: str) -> RawSource | tuple[str, str]:
    """Return the image that a cell names, or the reason and remedy why it names none."""
    path, inside = folder / cell, Containment(folder)
    if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder)):
        return "lies outside the table's folder", "move the table or the image"
    if inside.leaves(path):
        return LEAVES, REMEDY
    if not path.exists():
        return "does not exist", "correct the table; paths are relative to it"
    kind = format_of(path)
    if path.is_file() and kind is not None:
        return RawSource(path, kind)
    return _series(path, inside)


def _series(path: Path, within: Containment) -> RawSource | tuple[str, str]:
    folder = path if path.is_dir() else path.parent
    inside = (file for file in folder.iterdir() if file.is_file() and not within.leaves(file))
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
    remedy = f"write a CSV with the columns {CASE_COLUMN},{','.join(_ROLES)},{_PATIENT_COLUMN}"
    return CohortError.of(table, reason, remedy)
