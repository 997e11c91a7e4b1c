"""One raw case is one examination of one patient: folders that hold several are told apart, or refused with their days.

What folders and files are called counts first, because the user wrote it; then what DICOM headers say. Days and
identifiers of headers are for the screen and for this run: nothing of them is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from utad_monai.apps.prepare.dicom import Examination
from utad_monai.apps.prepare.raw_images import RawSource, stem_of
from utad_monai.data.layouts.patient import time_in, visit_of
from utad_monai.data.quality.finding import Finding

_REMEDY = (
    "put the images of each into a folder of its own inside the case's folder (ses-1, ses-2), or give each a row of "
    "its own in a CSV table"
)
_MANY = 3
"""So many cases, all of one PatientID, are no visits of one patient: the identifier is a placeholder."""


@dataclass(frozen=True)
class TimePoint:
    """The images of one examination in a case's folder.

    Attributes:
        case_id: name of its case; that of the folder where there is one examination.
        sources: its images.
        warnings: what somebody should look at.
        notes: the same with days, for the screen only.
        problems: why the images are no case.
    """

    case_id: str
    sources: tuple[RawSource, ...]
    _: KW_ONLY
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Finding, ...] = ()


def time_points(folder: Path, sources: Sequence[RawSource], needed: Callable[[RawSource], bool]) -> list[TimePoint]:
    """Tell the examinations in a case's folder apart.

    Args:
        folder: of the case.
        sources: its images.
        needed: tells which of them are used; the others say nothing of time, and go where they lie.
    """
    told: dict[str, list[RawSource]] = {}
    for source in sources:
        told.setdefault(_told(folder, source).casefold(), []).append(source)
    named = sorted(key for key, members in told.items() if key and any(map(needed, members)))
    if len(named) < 2:
        return _by_headers(folder, sources, needed, named=bool(named))
    loose = [source for source in told.get("", ()) if needed(source)]
    times = {key: _told(folder, told[key][0]) for key in named}
    if loose:
        text = f"holds {len(named)} time points ({', '.join(times.values())}), and {loose[0].text} is in none of them"
        problem = Finding.error(folder.name, loose[0].path, text, "move it into the folder of its time point")
        return [TimePoint(folder.name, tuple(sources), problems=(problem,))]
    rest = [source for key, members in told.items() if key not in named for source in members]
    points = []
    for key in named:
        case_id = f"{folder.name}_{'-'.join(times[key].split())}"
        members = [*told[key], *(rest if key == named[0] else ())]
        problems = tuple(several_times(case_id, folder, [source for source in told[key] if needed(source)]))
        warnings = one_session_warnings(source for source in told[key] if needed(source))
        points.append(TimePoint(case_id, tuple(members), warnings=warnings, problems=problems))
    return points


def _told(folder: Path, source: RawSource) -> str:
    """Return the time point that the names of an image's folders tell, the outermost first, or its own name."""
    inside = source.path.relative_to(folder).parts
    names = inside if source.series is not None else (*inside[:-1], stem_of(source.path))
    return next(filter(None, (time_in(_without(name, folder.name)) for name in names)), "")


def _without(name: str, case_id: str) -> str:
    return name[len(case_id) :].lstrip("-_. ") if name.casefold().startswith(case_id.casefold()) else name


def _by_headers(
    folder: Path, sources: Sequence[RawSource], needed: Callable[[RawSource], bool], named: bool
) -> list[TimePoint]:
    """Tell examinations apart by DICOM headers, where names do not; what is not DICOM must not be left over."""
    used = [source for source in sources if needed(source)]
    sessions = _sessions(used)
    days = [session[0].day for session in sessions]
    divisible = not named and not visit_of(folder.name).time and all(days) and all(source.series for source in used)
    if len(sessions) < 2 or not divisible:
        problems = tuple(several_times(folder.name, folder, used))
        return [TimePoint(folder.name, tuple(sources), warnings=one_session_warnings(used), problems=problems)]
    points = []
    for number, session in enumerate(sessions, start=1):
        members = tuple(
            source
            for source in sources
            if (source.examination in session)
            or (number == 1 and not any(source.examination in one for one in sessions))
        )
        note = f"is the study of {days[number - 1]}, one of {len(sessions)} in {folder.name}"
        warnings = one_session_warnings(source for source in members if needed(source))
        points.append(TimePoint(f"{folder.name}_ses-{number}", members, warnings=warnings, notes=(note,)))
    return points


def several_times(case_id: str, folder: Path, sources: Sequence[RawSource]) -> Iterator[Finding]:
    """Yield an error when the DICOM headers of a case are of several examinations; it names each of them."""
    sessions = _sessions(sources)
    if len(sessions) < 2:
        return
    listed = []
    for session in sessions:
        series = ", ".join(source.text for source in sources if source.examination in session)
        listed.append(f"{session[0].day or 'no date'}, study {session[0].study or 'without UID'}: {series}")
    text = f"holds images of {len(sessions)} studies at different times: one case is one time point"
    yield Finding.error(case_id, folder, text, _REMEDY, private="; ".join(listed))


def several_named_times(case_id: str, folder: Path, sources: Iterable[RawSource]) -> Iterator[Finding]:
    """Yield an error when the paths of a table's row, relative to its folder, name several time points."""
    told = {told.casefold(): told for source in sources if (told := _told(folder, source))}
    if len(told) > 1:
        text = f"the row names images of {len(told)} time points ({', '.join(sorted(told.values()))})"
        yield Finding.error(case_id, folder, text, "give each time point a row of its own")


def one_session_warnings(sources: Iterable[RawSource]) -> tuple[str, ...]:
    """Return a warning when studies were taken for one session, and one when their headers name several patients."""
    found = [source.examination for source in sources if source.examination]
    studies, patients = {one.study for one in found}, {one.patient for one in found if one.patient}
    warnings = []
    if len(_clusters(found)) == 1 and len(studies) > 1:
        warnings.append(f"its images are of {len(studies)} DICOM studies of one day, taken for one session: is it one?")
    if len(patients) > 1:
        warnings.append(f"its DICOM headers have {len(patients)} different PatientIDs: is it one patient?")
    return tuple(warnings)


def _sessions(sources: Iterable[RawSource]) -> list[list[Examination]]:
    return _clusters([source.examination for source in sources if source.examination])


def _clusters(found: Sequence[Examination]) -> list[list[Examination]]:
    """Group what headers say into sessions, by day; those without a day last."""
    sessions: list[list[Examination]] = []
    for one in sorted(dict.fromkeys(found), key=lambda one: (one.day or "9", one.study)):
        session = next((known for known in sessions if all(one.may_be_of(other) for other in known)), None)
        if session is None:
            sessions.append([one])
        else:
            session.append(one)
    return sessions


def same_patient(
    identifiers: Mapping[str, frozenset[str]], patients: Mapping[str, str]
) -> tuple[list[list[str]], bool]:
    """Return the groups of cases that share a PatientID.

    Args:
        identifiers: of the headers of each case, in any form that tells them apart.
        patients: whom the name of each case is of.

    Returns:
        The groups, and whether an identifier was passed over because all cases have it.
    """
    having = {case: found for case, found in identifiers.items() if found}
    groups: dict[str, list[str]] = {}
    for case, found in having.items():
        for identifier in found:
            groups.setdefault(identifier, []).append(case)
    kept = [cases for cases in groups.values() if len(cases) > 1]
    everybody = [cases for cases in kept if len(cases) == len(having) and len({patients[c] for c in cases}) >= _MANY]
    return [cases for cases in kept if cases not in everybody], bool(everybody)
