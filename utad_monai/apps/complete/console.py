"""What the `complete` command says."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from utad_monai.apps.complete.case_completer import PlannedVolume
from utad_monai.apps.complete.caution import caution
from utad_monai.apps.complete.cohort import Completed, Plan
from utad_monai.apps.complete.manifest import MANIFEST_FILE
from utad_monai.apps.complete.preview import preview_path
from utad_monai.keys import CompletionStatus, Modality
from utad_monai.models.stages import Stage
from utad_monai.runtime.console import counted, show_next, visible


def show_plan(plan: Plan) -> None:
    """Print what was found and, for each modality of each case, what would be done."""
    typer.echo(visible(plan.cohort))
    if plan.model:
        typer.echo(visible(plan.model))
    for problem in plan.problems:
        typer.echo(visible(f"  refuse {problem}"))
    for case_id, volumes in plan.cases.items():
        if not volumes:
            typer.echo(visible(f"  skip   {case_id}: nothing is missing"))
        for volume in volumes:
            typer.echo(visible(f"  {_intention(case_id, volume)}"))
    waiting = [
        volume for volumes in plan.cases.values() for volume in volumes if not (volume.finished or volume.reason)
    ]
    typer.echo(f"{counted(len(waiting), 'volume')} would be made; nothing was written.")


def _intention(case_id: str, volume: PlannedVolume) -> str:
    if volume.reason:
        return f"refuse {case_id}: {volume.target}: {volume.reason}"
    verb = "keep" if volume.finished else "make"
    return f"{verb}   {case_id}: {volume.target} from {', '.join(volume.sources)}"


def show_patient(completed: Completed, output_dir: str | Path) -> None:
    """Print what was made of one patient, the picture to look at, and what not to believe."""
    output = Path(output_dir)
    for result in completed.results:
        for volume in result.made:
            typer.echo(f"{volume.target:<8} {output / volume.file}")
        if result.made:
            preview = preview_path((output / result.made[0].file).parent, result.case_id)
            typer.echo(f"preview  {preview}")
            sources = {source for volume in result.made for source in volume.sources}
            typer.echo(caution([volume.target for volume in result.made], [*map(Modality.named, sources)]))


def show_completed(completed: Completed, output_dir: str | Path) -> None:
    """Print counts, where the results are, and the channel order of the tree."""
    output = Path(output_dir)
    counts = ", ".join(f"{completed.count(status)} {status}" for status in CompletionStatus)
    kept = sum(result.kept for result in completed.results)
    typer.echo(
        f"{counted(len(completed.results), 'case')}: {counts}" + (f" ({kept} were finished before)" if kept else "")
    )
    typer.echo(f"synthetic volumes  {output / Stage.SYNTHETIC}")
    typer.echo(f"manifest           {visible(completed.waits) or output / MANIFEST_FILE}")
    if completed.tree is not None:
        typer.echo(f"complete cohort    {completed.tree.folder} ({counted(len(completed.tree.cases), 'case')})")
        typer.echo(f"channel order      {completed.tree.channel_order}")
        for warning in completed.tree.warnings:
            typer.echo(visible(f"warning: {warning}"), err=True)
        for problem in completed.tree.problems:
            typer.echo(visible(f"error: {problem}"), err=True)
    if not completed.waits:
        show_next([shlex.join(["utad-monai", "report", str(output)])])
