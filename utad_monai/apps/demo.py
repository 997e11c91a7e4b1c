"""The whole pipeline in minutes, on the embedded phantom or a given cohort, through the packaged bundles."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from utad_monai.apps.report.figures import write_preview
from utad_monai.bundle.configs import bundles_dir, literal_path
from utad_monai.bundle.run import run_bundle
from utad_monai.engines.evaluations import SUMMARY_FILE
from utad_monai.keys import OnBadCase
from utad_monai.models.stages import Stage, model_path
from utad_monai.phantom.cohort import default_dataset_dir
from utad_monai.runtime.console import show_next
from utad_monai.runtime.folder_lock import locked_folder


@dataclass(frozen=True)
class _Step:
    title: str
    bundle: str
    run_id: str
    overlays: tuple[str, ...] = ("demo.json",)
    overrides: Mapping[str, Any] = field(default_factory=dict)


_EVERYTHING = {"split": "test", "targets": ["flair", "t1", "t1ce", "t2"]}
"""The phantom lacks nothing: every modality of the test cases is made, as if it were missing."""

_SHORT = {"max_epochs": 8, "decay_epochs": 4, "val_interval": 4, "critics_from_epoch": 6}

_QUICK = {"starter_flips": False, "source_slices": 4}
"""What an evaluation can do without when it is a demonstration."""

_STEPS = (
    _Step("Segmentation network on the four real modalities", "segmentation.json", "training"),
    _Step(
        "Teacher: from the starter weights, unpaired images and tumour masks",
        "teacher.json",
        "training",
        overrides=_SHORT,
    ),
    _Step("Student: mask-free, distilled from the teacher", "student.json", "training", overrides=_SHORT),
    _Step(
        "Volumes: each modality of the test cases from the others",
        "inference.json",
        "run",
        overrides=_EVERYTHING,
    ),
    _Step("Evaluation: every source to every target, and Dice", "evaluate.json", "run", overrides=_QUICK),
)


def run_demo(
    output_dir: str | Path,
    dataset_dir: str = "",
    on_bad_case: OnBadCase | str = OnBadCase.REFUSE,
    *,
    device: str = "",
) -> None:
    """Train segmentation, teacher and student, write volumes, measure them, and say where everything is.

    The last line is the path of a picture: sources, synthetic images, real ones and errors of a test patient.

    Args:
        output_dir: folder for all results.
        dataset_dir: a cohort; empty for the embedded phantom.
        on_bad_case: whether bad cases stop everything (`refuse`) or are left out (`skip`).
        device: where to compute; the bundles choose when empty.

    Raises:
        FolderInUseError: when another run writes to the output folder.
        OutputError: when the output folder cannot be written, or its disk is full.
    """
    with locked_folder(output_dir):
        _run_steps(Path(output_dir), dataset_dir, on_bad_case, {"device": device} if device else {})


def _run_steps(output: Path, dataset_dir: str, on_bad_case: OnBadCase | str, chosen: Mapping[str, Any]) -> None:
    begin = time.monotonic()
    dataset = dataset_dir or default_dataset_dir()
    common = {
        "dataset_dir": literal_path(dataset),
        "output_dir": literal_path(output),
        "on_bad_case": str(on_bad_case),
        **chosen,
    }
    for number, step in enumerate(_STEPS, start=1):
        typer.echo(f"[{number}/{len(_STEPS)}] {step.title}")
        config = [str(bundles_dir() / name) for name in (step.bundle, *step.overlays)]
        run_bundle(run_id=step.run_id, config_file=config, **common, **step.overrides)
    _show_paths(output, time.monotonic() - begin)
    show_next(_next_commands(output, dataset_dir))
    typer.echo(write_preview(output, dataset))


def _next_commands(output: Path, dataset_dir: str) -> list[str]:
    """Return what makes one file of the results, and what the student is for."""
    option = ["--dataset", dataset_dir] if dataset_dir else []
    model, completed = str(model_path(output, Stage.STUDENT)), str(output / "completed")
    complete = ["utad-monai", "complete", dataset_dir or "COHORT", "--model", model, "--output", completed]
    return [shlex.join(["utad-monai", "report", str(output), *option]), shlex.join(complete)]


def _show_paths(output: Path, seconds: float) -> None:
    made = {
        "teacher": model_path(output, Stage.TEACHER),
        "student": model_path(output, Stage.STUDENT),
        "segmentation": model_path(output, Stage.SEGMENTATION),
        "sample pictures": output / Stage.STUDENT / "samples",
        "synthetic volumes": output / Stage.SYNTHETIC,
        "summary": output / Stage.EVALUATION / SUMMARY_FILE,
    }
    typer.echo(f"\nDone in {seconds / 60:.1f} minutes. Written:")
    for name, path in made.items():
        typer.echo(f"  {name:<18} {path}")
