"""What the report shows of the trainings' health."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from utad_monai.handlers.health import CHECKS
from utad_monai.stages import HEALTH_FILE, Stage
from utad_monai.study.plan import METHODS_DIR
from utad_monai.tables import read_table


def training_health(output: Path) -> list[dict[str, Any]]:
    """Return name, number of epochs and warnings of every training in a run's or study's folder that was watched."""
    folders = [output / Stage.TEACHER, output / Stage.STUDENT, *sorted((output / METHODS_DIR).glob("*"))]
    return [_training(folder / HEALTH_FILE) for folder in folders if (folder / HEALTH_FILE).is_file()]


def _training(path: Path) -> dict[str, Any]:
    table = read_table(path, keep_default_na=False)
    told = dict(zip(table["epoch"], table["warnings"], strict=True))
    return {"name": path.parent.name, "epochs": len(told), "warnings": list(_warnings(told))}


def _warnings(told: dict[int, str]) -> Iterator[dict[str, str]]:
    for check in CHECKS:
        epochs = [str(epoch) for epoch, names in told.items() if check.name in names.split()]
        if epochs:
            name = check.name.replace("_", " ")
            yield {"name": name, "epochs": ", ".join(epochs), "advice": check.advice}
