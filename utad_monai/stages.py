"""The stages of the pipeline and where each leaves its result in the output folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

MODEL_FILE = "model.pt"
"""Name of a stage's model inside its folder."""


class Stage(StrEnum):
    """A stage of the pipeline; its value is its folder in `output_dir`."""

    TEACHER = "teacher"
    STUDENT = "student"
    SEGMENTATION = "segmentation"
    SYNTHETIC = "synthetic"
    EVALUATION = "evaluation"


class MissingStageError(FileNotFoundError):
    """A stage needs the model of an earlier one that has not run.

    Args:
        stage: the earlier stage.
        path: where its model was expected.
    """

    def __init__(self, stage: Stage, path: Path) -> None:
        self.stage = stage
        self.path = path
        super().__init__(
            f"{path}: the {stage} model is missing; make it first with: python -m monai.bundle run training "
            f"--config_file bundles/{stage}.json --output_dir {path.parent.parent} (and the same --dataset_dir)"
        )

    def __str__(self) -> str:
        """Return the one line that users read."""
        return str(self.args[0])


def model_path(output_dir: str | Path, stage: Stage | str) -> Path:
    """Return where a training stage keeps its model."""
    return Path(output_dir) / Stage(stage) / MODEL_FILE


def existing_model(output_dir: str | Path, stage: Stage | str) -> Path:
    """Return the model of an earlier stage.

    Raises:
        MissingStageError: naming the command that makes it.
    """
    path = model_path(output_dir, stage)
    if not path.is_file():
        raise MissingStageError(Stage(stage), path)
    return path
