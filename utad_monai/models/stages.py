"""The stages of the pipeline and where each leaves its result in the output folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from utad_monai.errors import UserError

MODEL_FILE = "model.pt"
"""Name of a stage's model inside its folder."""
HISTORY_FILE = "history.csv"
"""Name of a training's course, one row per epoch, beside the model."""

HEALTH_FILE = "health.csv"
"""Name of a training's health, one row per epoch, beside the model."""


class Stage(StrEnum):
    """A stage of the pipeline; its value is its folder in `output_dir`."""

    TEACHER = "teacher"
    STUDENT = "student"
    SEGMENTATION = "segmentation"
    SYNTHETIC = "synthetic"
    EVALUATION = "evaluation"


_BUNDLES = {Stage.SYNTHETIC: "inference", Stage.EVALUATION: "evaluate"}
"""Bundles that are not named after their stage."""


class MissingStageError(UserError, FileNotFoundError):
    """A stage needs the result of an earlier one that has not run.

    Args:
        stage: the earlier stage.
        path: where its result was expected.
    """

    def __init__(self, stage: Stage, path: Path) -> None:
        self.stage = stage
        run_id = "" if stage in (Stage.SYNTHETIC, Stage.EVALUATION) else " training"
        bundle = _BUNDLES.get(stage, str(stage))
        super().__init__(
            path,
            f"the {stage} result is missing",
            f"make it first with: python -m monai.bundle run{run_id} --config_file bundles/{bundle}.json "
            f"--output_dir {path.parent.parent} (and the same --dataset_dir)",
        )


class StudyError(UserError, RuntimeError):
    """A training of a study failed, or an earlier one does not fit."""


def model_path(output_dir: str | Path, stage: Stage | str) -> Path:
    """Return where a training stage keeps its model."""
    return Path(output_dir) / Stage(stage) / MODEL_FILE


def existing_model(output_dir: str | Path, stage: Stage | str, stage_dir: str | Path = "") -> Path:
    """Return the model of an earlier stage.

    Args:
        output_dir: the output folder of the stages.
        stage: the earlier stage.
        stage_dir: where it kept its model, if not at its place in the output folder.

    Raises:
        MissingStageError: naming the command that makes it.
    """
    path = Path(stage_dir) / MODEL_FILE if str(stage_dir) else model_path(output_dir, stage)
    if not path.is_file():
        raise MissingStageError(Stage(stage), path)
    return path
