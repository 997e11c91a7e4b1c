"""The stages of the pipeline and where each leaves its result in the output folder."""

from __future__ import annotations

import logging
import os
from enum import StrEnum
from pathlib import Path

from utad_monai.errors import CheckpointError, UserError

_logger = logging.getLogger(__name__)

MODEL_FILE = "model.safetensors"
"""Name of a stage's model inside its folder."""
EARLIER_MODEL_FILE = "model.pt"
"""What it was called while models were torch files; still found and read."""
HISTORY_FILE = "history.csv"
"""Name of a training's course, one row per epoch, beside the model."""

PROGRESS_FILE = "progress.png"
"""Name of the picture of that course."""
LOG_FILE = "log.txt"
"""Name of the text log of a training: its messages, with their times."""
HEALTH_FILE = "health.csv"
"""Name of a training's health, one row per epoch, beside the model."""


class Stage(StrEnum):
    """A stage of the pipeline; its value is its folder in `output_dir`."""

    TEACHER = "teacher"
    STUDENT = "student"
    SEGMENTATION = "segmentation"
    TOLERANT = "segmentation_tolerant"
    """The segmentation network that was trained with modalities absent; nothing needs it."""
    SYNTHETIC = "synthetic"
    EVALUATION = "evaluation"


_TRANSLATING = (Stage.STUDENT, "starter")
"""Folders of a run whose model translates without masks, the first one first."""

_BUNDLES = {Stage.SYNTHETIC: "inference", Stage.EVALUATION: "evaluate"}
"""Bundles that are not named after their stage."""


class MissingStageError(UserError, FileNotFoundError):
    """A stage needs the result of an earlier one that has not run.

    Args:
        stage: the earlier stage.
        path: where its result was expected.
        command: what makes it; by default the bundle as it comes.
    """

    def __init__(self, stage: Stage, path: Path, command: str = "") -> None:
        self.stage = stage
        command = command or f"utad-monai run {bundle_of(stage)} -- --output_dir {path.parent.parent}"
        missing = "" if "--dataset_dir" in command else " (and the same --dataset_dir)"
        super().__init__(path, f"the {stage} result is missing", f"make it first with: {command}{missing}")


def bundle_of(stage: Stage) -> str:
    """Return the name of the bundle that runs a stage."""
    return _BUNDLES.get(stage, str(stage))


class StudyError(UserError, RuntimeError):
    """A training of a study failed, or an earlier one does not fit."""


def present_model(path: str | Path) -> Path:
    """Return a model's path; where it is missing, the one beside it with the other of a model's two names, if any.

    Args:
        path: a model; files that are called otherwise, and folders, have no second name.
    """
    path = Path(path)
    other = _other_name(path)
    if os.path.exists(path) or other is None or not os.path.isfile(other):
        return path
    _logger.info("there is no %s: %s beside it is used", path, other.name)
    return other


def drop_other_model(path: str | Path) -> None:
    """Remove the model with the other name beside one that was saved: a training that goes on replaces it."""
    if other := _other_name(Path(path)):
        other.unlink(missing_ok=True)


def _other_name(path: Path) -> Path | None:
    names = {MODEL_FILE: EARLIER_MODEL_FILE, EARLIER_MODEL_FILE: MODEL_FILE}
    return path.with_name(names[path.name]) if path.name in names else None


def model_of_run(path: str | Path) -> Path:
    """Return the student of a run's folder; a model file, or a package, is returned as it is.

    Args:
        path: a folder that trainings wrote, or one of its stages; a model file; a package.

    Raises:
        CheckpointError: when the folder has a teacher and no student: it needs tumour masks.
    """
    folder = Path(path)
    for inside in (*(folder / str(stage) for stage in _TRANSLATING), folder):
        found = present_model(inside / MODEL_FILE)
        if found.is_file():
            return found
    teacher = present_model(folder / Stage.TEACHER / MODEL_FILE)
    if teacher.is_file():
        remedy = f"train the student: utad-monai run student -- --output_dir {folder} (and the same --dataset_dir)"
        raise CheckpointError(teacher, "is a teacher, which needs tumour masks, and there is no student", remedy)
    return folder


def model_path(output_dir: str | Path, stage: Stage | str) -> Path:
    """Return where a training stage keeps its model, be it that of an earlier version."""
    return present_model(Path(output_dir) / Stage(stage) / MODEL_FILE)


def existing_model(output_dir: str | Path, stage: Stage | str, stage_dir: str | Path = "") -> Path:
    """Return the model of an earlier stage.

    Args:
        output_dir: the output folder of the stages.
        stage: the earlier stage.
        stage_dir: where it kept its model, if not at its place in the output folder.

    Raises:
        MissingStageError: naming the command that makes it.
    """
    path = present_model(Path(stage_dir) / MODEL_FILE) if str(stage_dir) else model_path(output_dir, stage)
    if not path.is_file():
        raise MissingStageError(Stage(stage), path)
    return path
