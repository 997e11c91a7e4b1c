"""Compare methods on one cohort under one budget: train each, measure all, and say what the differences are worth."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas
from monai.bundle import run as run_bundle
from torch.utils.data import DataLoader

from utad_monai.atomic import atomic_path, write_json
from utad_monai.checkpoints import Translator, load_segmenter, load_translator
from utad_monai.configuration import bundles_dir, default_device
from utad_monai.data import EvaluationCases, prepare_cohort, single_case
from utad_monai.engines import evaluation_protocol
from utad_monai.engines.study_evaluator import StudyEvaluator
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import ImageSource, Split
from utad_monai.metrics import DownstreamSegmentation
from utad_monai.metrics.statistics import compare, estimate
from utad_monai.stages import MODEL_FILE, Stage, existing_model

RESULT_FILE = "study_results.csv"
PROTOCOL_FILE = "study_protocol.json"
METRICS = (
    "ssim",
    "psnr",
    "tumour_ssim",
    "tumour_mae",
    "slice_consistency",
    "identity_copy",
    "dice_WT",
    "dice_TC",
    "dice_ET",
)
"""Measures of the result table; `study.csv` has all of them."""

_METHODS_DIR = "methods"
_DONE_FILE = "trained.json"
_TEACHER = "utad_teacher"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyMethod:
    """One method: a bundle and what differs from it.

    Attributes:
        name: how it is called in the table.
        bundle: `teacher` or `student`.
        overlays: bundle files laid over it, by name.
        overrides: keys and values.
        note: what a reader must know of it.
    """

    name: str
    bundle: str
    overlays: Sequence[str] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class StudyPlan:
    """What a study compares.

    Attributes:
        reference: the method that all others are compared with.
        methods: in the order of training; the teacher before its students.
        overlays: bundle files laid over every stage.
        overrides: keys and values of every training, the common budget among them.
    """

    reference: str
    methods: tuple[StudyMethod, ...]
    overlays: tuple[str, ...]
    overrides: Mapping[str, Any]


def load_plan(
    preset: str, methods: Sequence[str] = (), config_file: str | Path = "", overrides: Mapping[str, Any] | None = None
) -> StudyPlan:
    """Read a plan.

    Args:
        preset: a preset's name in the config.
        methods: names of the only methods to compare, the reference always among them; empty for all.
        config_file: a study config; the packaged `study.json` by default.
        overrides: keys and values laid over the preset's.

    Raises:
        ValueError: when the preset or a method is unknown.
    """
    path = Path(config_file) if config_file else bundles_dir() / "study.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if preset not in content["presets"]:
        raise ValueError(f"{path}: no preset {preset!r}; there are {', '.join(content['presets'])}")
    unknown = sorted(set(methods) - set(content["methods"]))
    if unknown:
        raise ValueError(f"{path}: no method {', '.join(unknown)}; there are {', '.join(content['methods'])}")
    wanted = set(methods) | {content["reference"]} if methods else set(content["methods"])
    chosen = tuple(StudyMethod(name, **entry) for name, entry in content["methods"].items() if name in wanted)
    if any(method.bundle == "student" for method in chosen) and _TEACHER not in wanted:
        teacher = StudyMethod(_TEACHER, **content["methods"][_TEACHER])
        chosen = (teacher, *chosen)
    common = content["presets"][preset]
    return StudyPlan(
        content["reference"], chosen, tuple(common["overlays"]), common["overrides"] | dict(overrides or {})
    )


def run_study(plan: StudyPlan, dataset_dir: str | Path, output_dir: str | Path) -> pandas.DataFrame:
    """Train what is not trained yet, measure all methods on the test split, and write the result table.

    A method that was trained with the same settings in an earlier run is kept.

    Args:
        plan: what to compare.
        dataset_dir: the cohort.
        output_dir: folder for everything; `study.csv` (all values), `study_results.csv` (means, intervals, tests).

    Returns:
        The result table.

    Raises:
        ValueError: when a method was trained with other settings before.
    """
    output = Path(output_dir)
    common = {"dataset_dir": str(dataset_dir), "output_dir": str(output)}
    segmentation = StudyMethod(str(Stage.SEGMENTATION), str(Stage.SEGMENTATION))
    for method in (segmentation, *plan.methods):
        _train(method, plan, common, output)
    table, protocol = _measure(plan, output, dataset_dir)
    results = summarise(table, plan)
    with atomic_path(output / RESULT_FILE) as temporary:
        results.to_csv(temporary, index=False)
    write_json(output / PROTOCOL_FILE, protocol)
    return results


def stage_dir(method: StudyMethod, output: Path) -> Path:
    """Return where a method keeps its model; teacher and segmentation lie where other stages look for them."""
    if method.name in (_TEACHER, str(Stage.SEGMENTATION)):
        return output / method.bundle
    return output / _METHODS_DIR / method.name


def _train(method: StudyMethod, plan: StudyPlan, common: Mapping[str, str], output: Path) -> None:
    folder = stage_dir(method, output)
    overlays, overrides = [*plan.overlays, *method.overlays], {**plan.overrides, **method.overrides}
    settings = {"overlays": overlays, "overrides": overrides}
    done = folder / _DONE_FILE
    if done.is_file():
        if json.loads(done.read_text(encoding="utf-8"))["settings"] != settings:
            raise ValueError(
                f"{folder}: {method.name} was trained with other settings; remove the folder or use another"
            )
        _logger.info("%s is trained already: %s", method.name, folder)
        return
    begin = time.monotonic()
    files = [f"{method.bundle}.json", *overlays]
    run_bundle(
        run_id="training",
        config_file=[str(bundles_dir() / file) for file in files],
        **common,
        stage_dir=str(folder),
        **overrides,
    )
    write_json(done, {"settings": settings, "minutes": round((time.monotonic() - begin) / 60, 2)})


def _measure(plan: StudyPlan, output: Path, dataset_dir: str | Path) -> tuple[pandas.DataFrame, dict[str, Any]]:
    models = {method.name: load_translator(stage_dir(method, output) / MODEL_FILE) for method in plan.methods}
    segmenter = load_segmenter(existing_model(output, Stage.SEGMENTATION))
    cohort = prepare_cohort(dataset_dir, output, segmenter.preprocessing)
    cases = EvaluationCases(cohort.store, cohort.complete_cases(Split.TEST))
    device = default_device()
    evaluator = StudyEvaluator(
        device,
        DataLoader(cases, batch_size=1, collate_fn=single_case),
        {name: SliceTranslator(model.generator, device) for name, model in models.items()},
        DownstreamSegmentation(segmenter.network, device),
        output,
    )
    evaluator.run()
    reference, teacher = models[plan.reference], models.get(_TEACHER, models[plan.reference])
    protocol = evaluation_protocol(cohort, Split.TEST, reference, teacher, segmenter)
    return evaluator.table, protocol | _budget(plan, models, output)


def _budget(plan: StudyPlan, models: Mapping[str, Translator], output: Path) -> dict[str, Any]:
    """Return what each method is and what its training took."""
    described = {}
    for method in plan.methods:
        record = json.loads((stage_dir(method, output) / _DONE_FILE).read_text(encoding="utf-8"))
        training = dict(models[method.name].training)
        described[method.name] = {
            "note": method.note,
            "minutes": record["minutes"],
            "best_epoch": training.get("epoch"),
        }
    note = "equal iterations for every method; students build on the teacher, whose training is not counted as theirs"
    return {"budget": dict(plan.overrides), "budget_note": note, "methods": described}


def summarise(table: pandas.DataFrame, plan: StudyPlan) -> pandas.DataFrame:
    """Return one row per method and metric: mean with interval, and the comparison with the reference.

    Args:
        table: `study.csv`; values are first averaged over sources and targets, so that a case counts once.
        plan: names the reference.
    """
    rows = []
    for metric in METRICS:
        per_case = table.pivot_table(index="case", columns="method", values=metric, aggfunc="mean", dropna=False)
        compared = compare(per_case.drop(columns=[str(ImageSource.REAL)], errors="ignore"), plan.reference)
        for method in per_case.columns:
            row = {"metric": metric, "method": method} | asdict(estimate(per_case[method].to_list()))
            rows.append(row | (asdict(compared[method]) | {"reference": plan.reference} if method in compared else {}))
    return pandas.DataFrame(rows)
