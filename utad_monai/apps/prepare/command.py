"""What was recognised in a raw cohort, as text, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path

import typer

from utad_monai.apps.prepare.native import write_native
from utad_monai.apps.prepare.raw_cases import USE_THE_TABLE, RawCase
from utad_monai.apps.prepare.raw_images import RawSource, size_and_spacing
from utad_monai.apps.prepare.run import TABLE_FILE, prepare_raw_cohort, raw_cases
from utad_monai.apps.prepare.settings import BrainMaskMethod, GridKind, Interpolation, PreparationSettings
from utad_monai.data.quality.finding import Finding
from utad_monai.keys import Modality
from utad_monai.runtime.console import visible
from utad_monai.transforms import InvalidImageError


def describe_raw_cases(cases: Sequence[RawCase]) -> Iterator[str]:
    """Yield a line for each image of each case: its role, format, place, voxels and spacing; then what is wrong.

    Only headers are read: damaged voxels are found when the case is prepared.
    """
    for case in cases:
        yield case.case_id
        for role, source in case.sources.items():
            yield f"  {role:<10} {source.format:<9} {source.text}: {_size(source)}"
        for text in case.unused:
            yield f"  not used   {text}"
        if case.unknown:
            yield f"  not recognised: {', '.join(case.unknown)}; {USE_THE_TABLE}"
        for problem in case.problems:
            yield f"  REFUSED    {problem}"


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


def prepare(raw: Path, output_dir: Path, settings: PreparationSettings, workers: int) -> int:
    """Prepare a cohort, say its errors and warnings, and return the exit code.

    Raises:
        CohortError: when nothing can be started.
    """
    outcomes = prepare_raw_cohort(raw, output_dir, settings, workers)
    for outcome in outcomes:
        for warning in outcome.warnings:
            typer.echo(visible(f"warning: case {outcome.case}: {warning}"), err=True)
        _show_problems(outcome.problems)
    reused = sum(outcome.reused for outcome in outcomes)
    refused = sum(outcome.report is None for outcome in outcomes)
    typer.echo(f"{len(outcomes) - refused} cases prepared ({reused} by an earlier run), {refused} refused")
    typer.echo(f"written: {output_dir / TABLE_FILE}")
    return _code(len(outcomes), refused)


def show(raw: Path) -> int:
    """Print what is recognised, and return the exit code.

    Raises:
        CohortError: when there is no case.
    """
    cases = raw_cases(raw)
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
    typer.echo(f"{len(written) - len(problems)} images written to {native_dir}, {len(problems)} refused")
    return _code(len(written), len(problems))


def _show_problems(problems: Sequence[Finding]) -> None:
    for problem in problems:
        typer.echo(visible(f"error: {problem}"), err=True)


def _code(total: int, refused: int) -> int:
    if not refused:
        return ExitCode.ALL_DONE
    return ExitCode.SOME_REFUSED if refused < total else ExitCode.NONE_DONE
