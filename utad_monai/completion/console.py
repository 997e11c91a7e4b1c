"""What the `complete` command says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from utad_monai.completion.cohort import Completed, PlannedCase
from utad_monai.completion.manifest import MANIFEST_FILE
from utad_monai.data.problems import CohortProblem
from utad_monai.keys import CompletionStatus
from utad_monai.stages import Stage


def show_plan(planned: Sequence[PlannedCase], problems: Sequence[CohortProblem]) -> None:
    """Print one line for each case: what would be made, from what."""
    for problem in problems:
        typer.echo(f"  refuse {problem}")
    for item in planned:
        case, available = item.case, ", ".join(item.case.images)
        if not item.targets:
            typer.echo(f"  skip   {case.case_id}: nothing is missing")
        else:
            verb = "keep" if item.finished else "make"
            typer.echo(f"  {verb}   {case.case_id}: {', '.join(item.targets)} from {available}")
    waiting = sum(len(item.targets) for item in planned if not item.finished)
    typer.echo(f"{waiting} volumes would be made; nothing was written.")


def show_completed(completed: Completed, output_dir: str | Path) -> None:
    """Print counts, where the results are, and the channel order of the tree."""
    output = Path(output_dir)
    counts = ", ".join(f"{completed.count(status)} {status}" for status in CompletionStatus)
    kept = sum(result.kept for result in completed.results)
    typer.echo(f"{len(completed.results)} cases: {counts}" + (f" ({kept} were finished before)" if kept else ""))
    typer.echo(f"synthetic volumes  {output / Stage.SYNTHETIC}")
    typer.echo(f"manifest           {output / MANIFEST_FILE}")
    if completed.tree is not None:
        typer.echo(f"complete cohort    {completed.tree.folder} ({len(completed.tree.cases)} cases)")
        typer.echo(f"channel order      {completed.tree.channel_order}")
        for problem in completed.tree.problems:
            typer.echo(f"error: {problem}", err=True)
