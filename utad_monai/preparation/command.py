"""The command `utad-monai prepare`: options in, lines and an exit code out."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

import typer

from utad_monai.data.problems import CohortProblem
from utad_monai.keys import Modality
from utad_monai.preparation.native import write_native
from utad_monai.preparation.overview import describe_raw_cases
from utad_monai.preparation.run import TABLE_FILE, prepare_raw_cohort, raw_cases
from utad_monai.preparation.settings import BrainMaskMethod, GridKind, Interpolation, PreparationSettings
from utad_monai.visible import visible


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
    """Prepare a cohort, say what was doubtful or refused, and return the exit code.

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


def _show_problems(problems: Sequence[CohortProblem]) -> None:
    for problem in problems:
        typer.echo(visible(f"error: {problem}"), err=True)


def _code(total: int, refused: int) -> int:
    if not refused:
        return ExitCode.ALL_DONE
    return ExitCode.SOME_REFUSED if refused < total else ExitCode.NONE_DONE
