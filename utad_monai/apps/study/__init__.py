"""Compare methods on one cohort under one budget: train each, measure all, and say what the differences are worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas

from utad_monai.apps.study.measuring import load_methods, load_study_segmenter, measure_study, study_cohort
from utad_monai.apps.study.plan import TEACHER, StudyPlan, load_plan
from utad_monai.apps.study.results import (
    DIGITS,
    METRICS,
    StudyFile,
    StudyProtocol,
    outside_intervals,
    summarise,
    write_tables,
)
from utad_monai.apps.study.training import DONE_FILE, train_all
from utad_monai.data import PreparedCohort
from utad_monai.engines import evaluation_protocol
from utad_monai.keys import Split
from utad_monai.metrics.segmentation import HAUSDORFF_PROTOCOL
from utad_monai.metrics.statistics import STATISTICS_PROTOCOL
from utad_monai.metrics.unpaired import DISTRIBUTION_PROTOCOL
from utad_monai.models import tolerant_segmenter
from utad_monai.models.stages import HISTORY_FILE
from utad_monai.models.starter import installed_starter
from utad_monai.runtime.files import read_table, write_json, write_table
from utad_monai.runtime.folder_lock import locked_folder
from utad_monai.runtime.workers import default_workers

__all__ = [
    "METRICS",
    "StudyFile",
    "StudyPlan",
    "StudyProtocol",
    "default_workers",
    "load_plan",
    "outside_intervals",
    "run_study",
]


def run_study(
    plan: StudyPlan, dataset_dir: str | Path, output_dir: str | Path, workers: int | None = None
) -> pandas.DataFrame:
    """Train what is not trained yet, measure all methods on the test split, and write the result tables.

    A method that was trained with the same settings in an earlier run is kept.

    Args:
        plan: what to compare.
        dataset_dir: the cohort.
        output_dir: folder for everything; its files are those of `StudyFile`.
        workers: trainings, and then cases, side by side; by default `default_workers()`.

    Returns:
        The result table.

    Raises:
        StudyError: when a training fails, or was made with other settings before.
        CohortError: when the cohort is unusable.
        FolderInUseError: when another run writes to the output folder.
        OutputError: when the output folder cannot be written, or its disk is full.
    """
    with locked_folder(output_dir):
        return _run_study(plan, dataset_dir, Path(output_dir), workers or default_workers())


def _run_study(plan: StudyPlan, dataset_dir: str | Path, output: Path, workers: int) -> pandas.DataFrame:
    train_all(plan, dataset_dir, output, workers)
    tables = write_tables(measure_study(plan, dataset_dir, output, workers), output)
    results = summarise(tables, plan.reference)
    write_table(output / StudyFile.RESULTS, results, DIGITS)
    write_json(output / StudyFile.PROTOCOL, _protocol(plan, study_cohort(plan, dataset_dir, output), output))
    return results


def _protocol(plan: StudyPlan, cohort: PreparedCohort, output: Path) -> dict[str, Any]:
    """Return what was measured how, what each method is and what its training took."""
    models = load_methods(plan, output)
    reference = models[plan.reference]
    protocol = evaluation_protocol(
        cohort,
        Split.TEST,
        reference,
        models.get(TEACHER, reference),
        load_study_segmenter(plan, output),
        starter=installed_starter(),
        tolerant=tolerant_segmenter(output),
    )
    described = {}
    for method in plan.trainings:
        folder = plan.stage_dir(method.name, output)
        record = json.loads((folder / DONE_FILE).read_text(encoding="utf-8"))
        described[method.name] = {"note": method.note, "minutes": record["minutes"]}
        if method.name in models:
            history = read_table(folder / HISTORY_FILE)
            described[method.name] |= {
                "iterations": int(history["iteration"].max()),
                "best_epoch": models[method.name].training.get("epoch"),
            }
    return protocol | {
        "training": f"{protocol['training']}, but for methods whose note says PAIRED",
        "hd95": HAUSDORFF_PROTOCOL,
        "distribution": DISTRIBUTION_PROTOCOL,
        "statistics": STATISTICS_PROTOCOL,
        "reference": plan.reference,
        "budget": dict(plan.method_overrides),
        "budget_note": "equal for every method; students build on the teacher, whose training is not counted as theirs",
        "methods": described,
    }
