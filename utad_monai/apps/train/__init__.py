"""From a cohort to a student in one command: every stage, what it will take, and what came out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from utad_monai.apps.report.html_report import REPORT_FILE, write_report
from utad_monai.apps.train.plan import Plan, StageRun, TrainSettings, plan_of, refuse_untrainable, stage_runs
from utad_monai.apps.train.preset import Machine, choose_preset
from utad_monai.apps.train.rehearsal import estimate
from utad_monai.bundle.run import run_bundle
from utad_monai.data import PreparedCohort
from utad_monai.engines.evaluations import SUMMARY_FILE
from utad_monai.errors import expected_cause
from utad_monai.models.stages import Stage, model_path
from utad_monai.models.weights_file import file_sha256
from utad_monai.runtime.console import plain_log, show_next, visible
from utad_monai.runtime.files import read_record
from utad_monai.runtime.folder_lock import locked_folder
from utad_monai.runtime.parallel import chosen_device
from utad_monai.runtime.progress import Journey, in_words, shown_together

__all__ = ["TrainSettings", "train_cohort"]


def train_cohort(settings: TrainSettings) -> Path | None:
    """Prepare a cohort, train segmentation, teacher and student, evaluate them, and write the report.

    What an earlier call finished is kept, and a training that was ended goes on, bit for bit: the same call resumes.

    Args:
        settings: what the user asks for.

    Returns:
        The report; None where the cohort allows none.

    Raises:
        CohortError: when nothing can be trained, or cases are bad.
        ResumeError: when a training was begun with other settings.
        FolderInUseError: when another run writes to the output folder.
        OutputError: when the output folder cannot be written, or its disk is full.
        UnknownOverrideError: when no stage has the key of an override.
        WrongValueError: when a setting has a value that it must not have.
    """
    machine = Machine.here(chosen_device(settings.device))
    preset, reason = choose_preset(settings.preset, machine)
    runs = stage_runs(settings, preset, machine.workers)
    refuse_untrainable(settings)
    with locked_folder(settings.output_dir):
        typer.echo(reason)
        cohort = _prepared(runs[Stage.TEACHER])
        plan = plan_of(cohort, runs, settings.pairs)
        for note in plan.notes:
            typer.echo(visible(note))
        return _train(settings, plan, cohort)


def _prepared(run: StageRun) -> PreparedCohort:
    """Find, check, split and prepare the cohort as the stages will."""
    with plain_log(), _plain_errors():
        return run.config.get_parsed_content("cohort")  # type: ignore[no-any-return]


def _train(settings: TrainSettings, plan: Plan, cohort: PreparedCohort) -> Path | None:
    output = settings.output_dir
    typer.echo("timing a few steps of each stage ...")
    with _plain_errors():
        seconds = estimate(plan.runs, output, cohort)
    if is_evaluated(output):
        seconds[Stage.EVALUATION] = 0.0
    parts = ", ".join(f"{name} {in_words(needed) if needed else 'done'}" for name, needed in seconds.items())
    typer.echo(f"about {in_words(sum(seconds.values()))}: {parts}")
    with shown_together(Journey(seconds)) as journey:
        for number, run in enumerate(plan.runs, start=1):
            typer.echo(f"[{number}/{len(plan.runs)}] {run.title}")
            journey.enter(run.stage)
            if run.stage is Stage.EVALUATION and is_evaluated(output):
                continue
            with _plain_errors():
                run_bundle(config_file=run.files, run_id=run.run_id, **run.given)
    report = _report(settings) if any(run.stage is Stage.EVALUATION for run in plan.runs) else None
    _show_end(settings, report)
    return report


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Raise the plain error in place of what MONAI wraps it in."""
    try:
        yield
    except Exception as error:
        if cause := expected_cause(error):
            raise cause from None
        raise


def is_evaluated(output: Path) -> bool:
    """Tell whether the evaluation in a folder is that of the models beside it."""
    protocol = (read_record(output / Stage.EVALUATION / SUMMARY_FILE) or {}).get("protocol", {})
    paths = {f"{stage}_sha256": model_path(output, stage) for stage in (Stage.STUDENT, Stage.TEACHER)}
    paths["segmentation_sha256"] = model_path(output, Stage.SEGMENTATION)
    return all(path.is_file() and protocol.get(key) == file_sha256(path) for key, path in paths.items())


def _report(settings: TrainSettings) -> Path:
    path = settings.output_dir / REPORT_FILE
    summary = settings.output_dir / Stage.EVALUATION / SUMMARY_FILE
    if path.is_file() and path.stat().st_mtime >= summary.stat().st_mtime:
        return path
    typer.echo("writing the report ...")
    return write_report(settings.output_dir, settings.dataset_dir)


def _show_end(settings: TrainSettings, report: Path | None) -> None:
    output = settings.output_dir
    typer.echo(visible(f"model:  {model_path(output, Stage.STUDENT)}"))
    if report is not None:
        typer.echo(visible(f"report: {report}"))
    words = ["complete", str(settings.dataset_dir), "--model", str(output), "--output", str(output / "completed")]
    show_next([shlex.join(["utad-monai", *words])])
