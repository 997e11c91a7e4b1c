"""Prepare a whole cohort: say what was recognised, prepare each case on its own, keep a table of the outcomes."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from enum import IntEnum
from pathlib import Path

import pandas
import typer

from utad_monai.apps.prepare.brain_mask import resolve_method
from utad_monai.apps.prepare.brain_tools import COMMANDS, installed_command
from utad_monai.apps.prepare.case_files import PREPARATION_FOLDER
from utad_monai.apps.prepare.native import write_native
from utad_monai.apps.prepare.outcome import Outcome, prepare_and_write, refused
from utad_monai.apps.prepare.raw_cases import (
    USE_THE_TABLE,
    RawCase,
    find_raw_cases,
    read_raw_list,
    with_patients_linked,
)
from utad_monai.apps.prepare.raw_images import RawSource, size_and_spacing
from utad_monai.apps.prepare.raw_labels import with_label_sets
from utad_monai.apps.prepare.settings import BrainMaskMethod, GridKind, Interpolation, PreparationSettings
from utad_monai.data.layouts.patient import PATIENTS_FILE, read_patients, visit_of, write_patients
from utad_monai.data.quality.case_name import folder_name_error
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind
from utad_monai.keys import Modality
from utad_monai.runtime.console import counted, visible
from utad_monai.runtime.files import write_table
from utad_monai.runtime.folder_lock import locked_folder
from utad_monai.runtime.progress import progress_bar
from utad_monai.runtime.signals import leave_to_parent
from utad_monai.runtime.workers import worker_pool
from utad_monai.transforms import InvalidImageError

_logger = logging.getLogger(__name__)
TABLE_FILE = "preparation.csv"
_MOST_WORKERS = 4
"""A case at 1 mm needs about 1.5 GB; more workers than this are for who asks for them."""


def raw_cases(raw: Path, label_set: str | Path = "") -> list[RawCase]:
    """Find the cases of a folder or of a CSV table, each with its problems and what its segmentation means.

    Raises:
        CohortError: when there is none, or the label set is none.
    """
    cases = find_raw_cases(raw) if raw.is_dir() else read_raw_list(raw)
    return with_label_sets(list(_with_name_problems(with_patients_linked(cases))), raw, label_set)


def prepare_raw_cohort(
    raw: Path,
    output_dir: Path,
    settings: PreparationSettings | None = None,
    workers: int = 0,
    progress: bool = True,
    *,
    label_set: str | Path = "",
) -> list[Outcome]:
    """Prepare every case of a cohort; one that cannot be used does not stop the others.

    Args:
        raw: folder with one folder per case, or a CSV table.
        output_dir: receives `<case>/<case>_<modality>.nii.gz`, `preparation/<case>/`, `preparation.csv` and, for
            whoever reads it as a cohort, `patients.csv`.
        settings: the choices; None for the defaults.
        workers: processes side by side; 0 for one per processor, at most four.
        progress: whether to show a progress bar.
        label_set: what segmentations mean: the name of a label set or a file; empty for what the cohort says.

    Returns:
        What became of each case, by name.

    Raises:
        CohortError: when there is no case, the folders hold each other, or an asked program is not installed.
        FolderInUseError: when another run writes to the output folder.
        OutputError: when the output folder cannot be written, or its disk is full.
    """
    settings = settings or PreparationSettings()
    _refuse_nested(raw, output_dir)
    _refuse_missing_program(settings)
    cases = raw_cases(raw, label_set)
    for case in cases:
        for note in case.notes:
            _logger.warning("case %s: %s", case.case_id, note)
    with locked_folder(output_dir):
        jobs = _run(cases, output_dir, settings, min(workers or _default_workers(), len(cases)))
        bar = progress_bar(jobs, "Preparing", total=len(cases), unit="case", show=progress)
        outcomes = sorted(bar, key=lambda outcome: outcome.case)
        patients = {case.case_id: case.patient for case in cases}
        table = pandas.DataFrame([outcome.row() for outcome in outcomes])
        table["patient"] = [patients[outcome.case] for outcome in outcomes]
        table["visit"] = [visit_of(outcome.case).time for outcome in outcomes]
        write_table(output_dir / TABLE_FILE, table)
        done = {outcome.case: patients[outcome.case] for outcome in outcomes if outcome.report is not None}
        write_patients(output_dir, _others(output_dir, patients) | done)
    return outcomes


def _others(output_dir: Path, patients: Mapping[str, str]) -> dict[str, str]:
    """Return the patients of cases that are in the output folder by other runs than this one."""
    known = read_patients(output_dir / PATIENTS_FILE) if (output_dir / PATIENTS_FILE).is_file() else {}
    return {case: patient for case, patient in known.items() if case not in patients and (output_dir / case).is_dir()}


def _default_workers() -> int:
    return min(os.cpu_count() or 1, _MOST_WORKERS)


def _run(cases: Sequence[RawCase], output_dir: Path, settings: PreparationSettings, workers: int) -> Iterator[Outcome]:
    if workers == 1:
        for case in cases:
            yield prepare_and_write(case, output_dir, settings)
        return
    unfinished = list(cases)
    with worker_pool(workers, leave_to_parent) as pool:
        for case, job in _submit(pool, cases, output_dir, settings):
            try:
                outcome = job.result()
            except BrokenProcessPool:
                continue
            unfinished.remove(case)
            yield outcome
    for case in unfinished:  # a process died and took the others' work with it: now each has its own
        yield _alone(case, output_dir, settings)


def _submit(
    pool: ProcessPoolExecutor, cases: Sequence[RawCase], output_dir: Path, settings: PreparationSettings
) -> Iterator[tuple[RawCase, Future[Outcome]]]:
    jobs = {pool.submit(prepare_and_write, case, output_dir, settings): case for case in cases}
    for job in as_completed(jobs):
        yield jobs[job], job


def _alone(case: RawCase, output_dir: Path, settings: PreparationSettings) -> Outcome:
    with worker_pool(1) as pool:
        try:
            return pool.submit(prepare_and_write, case, output_dir, settings).result()
        except BrokenProcessPool:
            reason = "its process was ended by the system (out of memory?)"
            return refused(case, [Finding.error(case.case_id, case.folder, reason, "use fewer workers")])


def _with_name_problems(cases: Sequence[RawCase]) -> Iterator[RawCase]:
    """Add a problem to each case whose name cannot be a folder, or is another's on some file systems."""
    alike: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        alike[case.case_id.casefold()].append(case.case_id)
    for case in cases:
        first, *others = alike[case.case_id.casefold()]
        text = folder_name_error(case.case_id)
        if not text and case.case_id == PREPARATION_FOLDER:
            text = f"is named {PREPARATION_FOLDER}, which is kept for reports"
        elif not text and others:
            text = f"duplicate case name: it collides with {first}"
        problem = Finding.error(case.case_id, case.folder, text, "rename the case", FindingKind.NAME)
        yield replace(case, problems=(*case.problems, problem)) if text else case


def _refuse_nested(raw: Path, output_dir: Path) -> None:
    folder = (raw if raw.is_dir() else raw.parent).resolve()
    output = output_dir.resolve()
    if output == folder or folder.is_relative_to(output) or (raw.is_dir() and output.is_relative_to(folder)):
        reason = f"and the raw folder {raw} hold each other: originals stay untouched"
        raise CohortError.of(output_dir, reason, "write somewhere else")


def _refuse_missing_program(settings: PreparationSettings) -> None:
    method = resolve_method(settings.brain_mask)
    if method in COMMANDS and installed_command(method) is None:
        reason = f"is not installed: no {' or '.join(COMMANDS[method])} on the PATH"
        raise CohortError.of(method, reason, "install it, or choose another --brain-mask")


def describe_raw_cases(cases: Sequence[RawCase]) -> Iterator[str]:
    """Yield a line for each image of each case: its role, format, place, voxels and spacing; then what is wrong.

    Only headers are read: damaged voxels are found when the case is prepared.
    """
    for case in cases:
        yield case.case_id
        if case.patient != case.case_id:
            yield f"  patient    {case.patient}"
        for role, source in case.sources.items():
            yield f"  {role:<10} {source.format:<9} {source.text}: {_size(source)}"
        yield from _labels_of(case)
        for text in case.unused:
            yield f"  not used   {text}"
        if case.unknown:
            yield f"  not recognised: {', '.join(case.unknown)}; {USE_THE_TABLE}"
        for text in (*case.notes, *case.warnings):
            yield f"  look at it {text}"
        for problem in case.problems:
            yield f"  REFUSED    {problem}"


def _labels_of(case: RawCase) -> Iterator[str]:
    if case.labels:
        found = case.labels.label_set
        yield f"  labels     {found.name or found.title}, said by {case.labels.because}: {found.description}"


def _size(source: RawSource) -> str:
    try:
        size, spacing = size_and_spacing(source)
    except InvalidImageError as error:
        return f"UNUSABLE, {error.reason}; {error.remedy}"
    return f"{' x '.join(map(str, size))} voxels of {' x '.join(f'{mm:.3g}' for mm in spacing)} mm"


class UsageError(ValueError):
    """An option that cannot be."""


class ExitCode(IntEnum):
    """What the command tells the shell."""

    ALL_DONE = 0
    NONE_DONE = 1
    SOME_REFUSED = 2


def settings_of(reference: str, grid: str, n4: bool, brain_mask: str, interpolation: str) -> PreparationSettings:
    """Turn the words of the command line into settings.

    Raises:
        UsageError: when a word is none of the choices.
    """
    try:
        return PreparationSettings(
            reference=Modality(reference) if reference else None,
            grid=GridKind(grid),
            n4=n4,
            brain_mask=BrainMaskMethod(brain_mask),
            interpolation=Interpolation(interpolation),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def prepare(
    raw: Path, output_dir: Path, settings: PreparationSettings, workers: int, *, label_set: str | Path = ""
) -> int:
    """Prepare a cohort, say its errors and warnings, and return the exit code.

    Raises:
        CohortError: when nothing can be started.
    """
    outcomes = prepare_raw_cohort(raw, output_dir, settings, workers, label_set=label_set)
    for outcome in outcomes:
        for warning in outcome.warnings:
            typer.echo(visible(f"warning: case {outcome.case}: {warning}"), err=True)
        _show_problems(outcome.problems)
    reused = sum(outcome.reused for outcome in outcomes)
    refused = sum(outcome.report is None for outcome in outcomes)
    typer.echo(f"{counted(len(outcomes) - refused, 'case')} prepared ({reused} by an earlier run), {refused} refused")
    typer.echo(f"written: {output_dir / TABLE_FILE}")
    return _code(len(outcomes), refused)


def show(raw: Path, label_set: str | Path = "") -> int:
    """Print what is recognised, and return the exit code.

    Raises:
        CohortError: when there is no case.
    """
    cases = raw_cases(raw, label_set)
    for line in describe_raw_cases(cases):
        typer.echo(visible(line))
    return _code(len(cases), sum(bool(case.problems) for case in cases))


def bring_back(output_dir: Path, results: Path, native_dir: Path | None, native_grid: str) -> int:
    """Bring results back onto the raw grids, say what was refused, and return the exit code.

    Raises:
        UsageError: when there is no output folder, or no such modality.
        CohortError: when there is nothing to bring back.
    """
    if native_dir is None:
        raise UsageError("--to-native needs --native-output")
    try:
        modality = Modality(native_grid) if native_grid else None
    except ValueError as error:
        raise UsageError(str(error)) from error
    written = write_native(output_dir, results, native_dir, modality)
    problems = [one.problem for one in written if one.problem]
    _show_problems(problems)
    typer.echo(f"{counted(len(written) - len(problems), 'image')} written to {native_dir}, {len(problems)} refused")
    return _code(len(written), len(problems))


def _show_problems(problems: Sequence[Finding]) -> None:
    for problem in problems:
        typer.echo(visible(f"error: {problem}"), err=True)


def _code(total: int, refused: int) -> int:
    if not refused:
        return ExitCode.ALL_DONE
    return ExitCode.SOME_REFUSED if refused < total else ExitCode.NONE_DONE
