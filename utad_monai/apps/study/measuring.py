"""Measure everything that a study trained, on the test split, several cases side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas
import torch
from torch.utils.data import DataLoader

from utad_monai.apps.study.plan import (
    AUGMENTED_SEGMENTATION,
    SEGMENTATION,
    TOLERANT_SEGMENTATION,
    StudyPlan,
    single_segmentation,
)
from utad_monai.apps.study.results import StudyProtocol
from utad_monai.contrast import TranslationMethod, fit_yardsticks, not_beaten
from utad_monai.data import EvaluationCases, PreparedCohort, prepare_cohort, single_case
from utad_monai.data.quality.finding import empty_split, policy_of
from utad_monai.engines import CaseEvaluator
from utad_monai.engines.evaluations import ROUTES, Alone, Augmentation, Evaluation, MissingModalities, Pairs
from utad_monai.engines.measurements import Measurements
from utad_monai.engines.routes import tolerant_route
from utad_monai.inferers import Calibration, CohortCalibrator, SliceTranslator
from utad_monai.inferers.slice_translator import starter_method
from utad_monai.keys import ImageSource, Modality, Split, TumourRegion
from utad_monai.metrics import DownstreamSegmentation
from utad_monai.metrics.measures import BRAIN, HIGHER_IS_BETTER, column
from utad_monai.models import Segmenter, TranslatorModel, load_segmenter, load_translator
from utad_monai.models.stages import MODEL_FILE
from utad_monai.models.starter import installed_starter, starter_path
from utad_monai.runtime.files import read_table
from utad_monai.runtime.progress import progress_bar
from utad_monai.runtime.workers import default_device, worker_pool

Quality = dict[str, float | None]
PAIRED_NOTE = "PAIRED"
"""The note of a method that was trained on pairs says so with this word."""
_EARLIER_NAMES = {"mean_fill": str(ImageSource.FLAT_BRAIN)}
_BOUNDED = (
    *(("ssim", BRAIN), ("mae", BRAIN), ("ssim", TumourRegion.WT), ("mae", TumourRegion.WT)),
    *(("dice", region) for region in TumourRegion),
    ("s_score", TumourRegion.WT),
)
"""Measures that the upper bound is told of, and where."""


def read_study_table(path: str | Path) -> pandas.DataFrame:
    """Read a table of a study; methods that had another name in an earlier version are given today's.

    Raises:
        ValueError: when it is no table.
        OSError: when it cannot be read.
    """
    table = read_table(path)
    return table.assign(method=table["method"].replace(_EARLIER_NAMES)) if "method" in table else table


def paired_methods(protocol: Mapping[str, Any]) -> list[str]:
    """Return the names of the methods that use pairs, by a study's protocol."""
    trained = [name for name, method in protocol["methods"].items() if PAIRED_NOTE in method["note"]]
    return [*trained, str(ImageSource.PAIRED_CONTRAST_MAP)]


def yardstick_lines(results: pandas.DataFrame, protocol: Mapping[str, Any]) -> list[str]:
    """Return what must be said beside a study's table of translations, one line each.

    Args:
        results: the result table.
        protocol: the study's protocol.
    """
    means = _means(results)
    paired = {name: means[name] for name in paired_methods(protocol) if name in means}
    lines = [_upper_bound_line(paired)] if paired else []
    for method in (str(ImageSource.STARTER), *protocol["methods"]):
        yardstick = str(ImageSource.PAIRED_CONTRAST_MAP if method in paired else ImageSource.CONTRAST_MAP)
        measures = not_beaten(means.get(method, {}), means.get(yardstick, {}))
        if measures:
            lines.append(f"{method} is no better than its contrast map in {', '.join(measures)}")
    return lines


def _means(results: pandas.DataFrame) -> dict[str, Quality]:
    """Return the means of the protocol `translation` by method and measure; None for what could not be measured."""
    rows = results[results["protocol"] == StudyProtocol.TRANSLATION]
    means: dict[str, Quality] = {str(method): {} for method in rows["method"]}
    for method, metric, mean in rows[["method", "metric", "mean"]].itertuples(index=False):
        means[method][metric] = None if pandas.isna(mean) else float(mean)
    return means


def _upper_bound_line(paired: Mapping[str, Quality]) -> str:
    bounds = []
    for measure, region in _BOUNDED:
        metric = column(measure, region)
        known = {method: value for method, quality in paired.items() if (value := quality.get(metric)) is not None}
        if known:
            best = (max if HIGHER_IS_BETTER[measure] else min)(known, key=lambda method: known[method])
            bounds.append(f"{metric} {known[best]:.3f} ({best})")
    return f"upper bound, the best of the rows that use pairs: {', '.join(bounds)}"


def load_methods(plan: StudyPlan, output: Path) -> dict[str, TranslatorModel]:
    """Return the trained methods of a plan by name, in its order."""
    return {method.name: load_translator(plan.stage_dir(method.name, output) / MODEL_FILE) for method in plan.methods}


def study_calibrations(
    cohort: PreparedCohort, painted: Mapping[str, Mapping[Modality, Sequence[float]]]
) -> dict[str, Calibration]:
    """Return the calibrations of models on the training cases, without any test patient.

    Args:
        cohort: the cohort of a study.
        painted: `TranslatorModel.reference_histograms` by method; those that have none are left out. Those of a model
            that was trained on the same cases change nothing.
    """
    calibrator = CohortCalibrator(cohort.store, cohort.cases(Split.TRAIN), judged=cohort.cases(Split.TEST))
    return {name: calibrator.fit(shares) for name, shares in painted.items() if shares}


def load_study_segmenter(plan: StudyPlan, output: Path, name: str = SEGMENTATION) -> Segmenter:
    """Return one trained segmentation network of a plan."""
    return load_segmenter(plan.stage_dir(name, output) / MODEL_FILE)


def study_cohort(plan: StudyPlan, dataset_dir: str | Path, output: Path) -> PreparedCohort:
    """Return the cohort as the methods of a plan were trained with it."""
    preprocessing = load_study_segmenter(plan, output).preprocessing
    return prepare_cohort(dataset_dir, output, preprocessing, progress=False, on_bad_case=policy_of(output))


def measure_study(plan: StudyPlan, dataset_dir: str | Path, output_dir: str | Path, workers: int = 1) -> Measurements:
    """Measure every method of a trained study on every complete test case.

    Args:
        plan: what was trained.
        dataset_dir: its cohort.
        output_dir: folder of the study.
        workers: cases side by side, each in its own process; 1 measures in this process.

    Raises:
        CohortError: when the test split has no complete case.
    """
    output = Path(output_dir)
    cohort = study_cohort(plan, dataset_dir, output)
    cases = [case.case_id for case in cohort.complete_cases(Split.TEST)]
    if not cases:
        raise empty_split("complete test case with a segmentation")
    yardsticks = fit_yardsticks(cohort.store, cohort.cases(Split.TRAIN))
    starter = installed_starter()
    models = load_methods(plan, output) | ({str(ImageSource.STARTER): starter} if starter else {})
    calibrations = study_calibrations(cohort, {name: model.reference_histograms for name, model in models.items()})
    starter_file = starter_path() if starter else None
    jobs = [
        _Measurement(
            plan, str(dataset_dir), output, case, yardsticks, calibrations=calibrations, starter_file=starter_file
        )
        for case in cases
    ]
    measurements = Measurements()
    if workers == 1:
        for job in jobs:
            measurements.add(job())
        return measurements
    with worker_pool(workers) as pool:
        for measured in progress_bar(pool.map(_call, jobs), "Measuring", total=len(jobs), unit="case"):
            measurements.add(measured)
    return measurements


class _Measurement:
    """The measurement of one case as a call without arguments, which can be sent to another process."""

    def __init__(
        self,
        plan: StudyPlan,
        dataset_dir: str,
        output: Path,
        case_id: str,
        yardsticks: Mapping[ImageSource, TranslationMethod],
        *,
        calibrations: Mapping[str, Calibration],
        starter_file: Path | None,
    ) -> None:
        self.plan = plan
        self.dataset_dir = dataset_dir
        self.output = output
        self.case_id = case_id
        self.yardsticks = yardsticks
        self.calibrations = calibrations
        self.starter_file = starter_file

    def __call__(self) -> Measurements:
        cohort = study_cohort(self.plan, self.dataset_dir, self.output)
        cases = EvaluationCases(cohort.store, [cohort.store.cases[self.case_id]])
        device = torch.device(self.plan.cohort_overrides.get("device") or default_device())
        methods = load_methods(self.plan, self.output)
        evaluator = CaseEvaluator(
            device,
            DataLoader(cases, batch_size=1, collate_fn=single_case),
            translators={str(name): method for name, method in self.yardsticks.items()}
            | self._translators(methods, device),
            evaluations=self._questions(methods[self.plan.reference], device),
        )
        evaluator.run()
        return evaluator.measurements

    def _translators(
        self, methods: Mapping[str, TranslatorModel], device: torch.device
    ) -> dict[str, TranslationMethod]:
        """Return the starter, where there is one, and the methods."""
        translators: dict[str, TranslationMethod] = {}
        if self.starter_file is not None:
            starter, name = load_translator(self.starter_file), str(ImageSource.STARTER)
            translators[name] = starter_method(starter, self.calibrations[name], device)
        for name, method in methods.items():
            calibration = self.calibrations.get(name)
            translators[name] = SliceTranslator(method.generator, device, calibration=calibration)
        return translators

    def _questions(self, reference: TranslatorModel, device: torch.device) -> list[Evaluation]:
        complete, augmented = (self._downstream(name, device) for name in (SEGMENTATION, AUGMENTED_SEGMENTATION))
        trainings = {str(ImageSource.REAL): complete, str(ImageSource.REAL_AND_SYNTHETIC): augmented}
        questions: list[Evaluation] = [
            Pairs(complete),
            Alone({modality: self._downstream(single_segmentation(modality), device) for modality in Modality}),
            MissingModalities(complete, reference.best_source),
        ]
        if TOLERANT_SEGMENTATION in {segmenter.name for segmenter in self.plan.segmenters}:
            tolerant = self._downstream(TOLERANT_SEGMENTATION, device)
            routes = {*ROUTES, self.plan.reference}
            questions.append(MissingModalities(tolerant, reference.best_source, methods=routes, tolerant=True))
            trainings[tolerant_route(ImageSource.REAL)] = tolerant
        return [*questions, Augmentation(trainings)]

    def _downstream(self, name: str, device: torch.device) -> DownstreamSegmentation:
        segmenter = load_study_segmenter(self.plan, self.output, name)
        return DownstreamSegmentation(segmenter.network, device, modalities=segmenter.modalities)


def _call(job: _Measurement) -> Measurements:
    return job()
