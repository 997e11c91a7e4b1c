"""What a model, or the starter, is worth on a cohort's own patients, beside what it must beat, by chosen protocols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import typer
from torch.utils.data import DataLoader

from utad_monai.contrast import FlatBrain, TranslationMethod, fit_contrast_maps
from utad_monai.data import EvaluationCases, PreparedCohort, prepare_cohort, single_case
from utad_monai.data.intensity import mean_brain_intensities
from utad_monai.engines import CaseEvaluator
from utad_monai.engines.evaluations import Evaluation, Pairs
from utad_monai.engines.measurements import MEASUREMENTS_FILE, Measurement, long_table
from utad_monai.engines.whole_volumes import (
    MethodMeans,
    WholeVolumes,
    chosen_protocols,
    means_as_data,
    means_by_protocol,
)
from utad_monai.handlers.saving import typical_windows
from utad_monai.inferers import CohortCalibrator
from utad_monai.inferers.slice_translator import starter_method
from utad_monai.keys import EvaluationProtocol, ImageSource, OnBadCase, Split
from utad_monai.metrics.protocols import PROTOCOL_IN_WORDS
from utad_monai.models import TranslatorModel, load_translator
from utad_monai.models.stages import model_of_run
from utad_monai.models.starter import is_starter, load_starter
from utad_monai.runtime.files import write_json, write_table
from utad_monai.runtime.folder_lock import locked_folder

PROTOCOLS_FILE = "protocols.json"
"""Protocols in words, means and intervals."""


@dataclass(frozen=True)
class Evaluated:
    """What was measured.

    Attributes:
        means: the table of each protocol.
        files: what was written.
    """

    means: Mapping[str, MethodMeans]
    files: tuple[Path, ...]

    def lines(self) -> Iterator[str]:
        """Yield every table with its protocol in words, and the files."""
        for protocol, methods in self.means.items():
            yield from (*table_lines(protocol, methods), "")
        yield f"written: {' and '.join(map(str, self.files))}"


def table_lines(protocol: str, methods: MethodMeans) -> Iterator[str]:
    """Yield the table of one protocol: its words, then a row per method with means and intervals."""
    yield f"{protocol}: {PROTOCOL_IN_WORDS[EvaluationProtocol(protocol)]}"
    yield "  mean over every source and target, then over cases [95 % bootstrap interval over cases]"
    columns = list(dict.fromkeys(name for values in methods.values() for name in values))
    widths = [max(26, len(name) + 2) for name in columns]
    yield f"  {'':<16}" + "".join(f"{name:>{width}}" for name, width in zip(columns, widths, strict=True))
    for method, values in methods.items():
        cells = [f"{values[name].mean:.3f} [{values[name].low:.3f}, {values[name].high:.3f}]" for name in columns]
        yield f"  {method:<16}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def evaluate_cohort(
    dataset_dir: str | Path,
    output_dir: str | Path,
    model: str | Path | None = None,
    *,
    protocols: Sequence[EvaluationProtocol | str] = (EvaluationProtocol.OURS,),
    split: Split = Split.TEST,
    flips: bool | None = None,
    batch_size: int = 16,
    device: torch.device | str = "cpu",
    on_bad_case: OnBadCase = OnBadCase.REFUSE,
    label_set: str | Path = "",
) -> Evaluated:
    """Measure a model beside a copy of the source, a flat brain and the contrast map, from every single source.

    Args:
        dataset_dir: the cohort.
        output_dir: receives `measurements.csv`, `protocols.json`, the slices, and `split.csv` where there is none yet.
        model: a model file, or the folder of the run that trained it; the starter weights when None.
        protocols: by which to measure.
        split: whom to measure; calibration, flat brain and contrast map come from the training patients.
        flips: whether mirror images are translated too; of the starter alone when None.
        batch_size: slices in one pass.
        device: where to translate.
        on_bad_case: whether bad cases stop everything (`refuse`) or are left out (`skip`).
        label_set: what segmentations mean: the name of a label set or a file; empty for what the cohort says.

    Raises:
        CohortError: for a bad cohort or split, or when there is no case to measure.
        CheckpointError: when the model is unusable.
    """
    output, chosen = Path(output_dir), chosen_protocols(protocols)
    translator = load_starter() if model is None else load_translator(model_of_run(model))
    with locked_folder(output):
        cohort = prepare_cohort(
            dataset_dir, output, translator.preprocessing, on_bad_case=on_bad_case, label_set=label_set
        )
        dataset = EvaluationCases(cohort.store, cohort.cases(split, with_segmentation=True))
        evaluator = CaseEvaluator(
            device,
            DataLoader(dataset, batch_size=1, collate_fn=single_case),
            translators=_methods(translator, cohort, dataset, flips=flips, batch_size=batch_size, device=device),
            evaluations=_evaluations(chosen, cohort),
        )
        evaluator.run()
        return _written(output, evaluator.measurements.rows, chosen, len(dataset))


def _methods(
    translator: TranslatorModel,
    cohort: PreparedCohort,
    dataset: EvaluationCases,
    *,
    flips: bool | None,
    batch_size: int,
    device: torch.device | str,
) -> dict[str, TranslationMethod]:
    training = cohort.cases(Split.TRAIN)
    calibrator = CohortCalibrator(cohort.store, training, judged=dataset.cases)
    mirrored = is_starter(translator) if flips is None else flips
    calibration = calibrator.fit(translator.reference_histograms)
    name = str(translator.training.get("stage", "model"))
    return {
        name: starter_method(translator, calibration, device, batch_size, mirrored),
        str(ImageSource.FLAT_BRAIN): FlatBrain(mean_brain_intensities(cohort.store, training)),
        str(ImageSource.CONTRAST_MAP): fit_contrast_maps(cohort.store, training),
    }


def _evaluations(protocols: Sequence[EvaluationProtocol], cohort: PreparedCohort) -> list[Evaluation]:
    windows = typical_windows(cohort.cases(Split.TRAIN), cohort.store.preprocessing.modalities)
    volumes = WholeVolumes(protocols, cohort=cohort, windows=windows)
    ours = [Pairs(None)] if EvaluationProtocol.OURS in protocols else []
    return [*ours, volumes]


def _written(
    output: Path, rows: Sequence[Measurement], protocols: Sequence[EvaluationProtocol], cases: int
) -> Evaluated:
    files = output / MEASUREMENTS_FILE, output / PROTOCOLS_FILE
    means = means_by_protocol(rows, protocols)
    write_table(files[0], long_table(rows))
    words = {str(protocol): PROTOCOL_IN_WORDS[protocol] for protocol in protocols}
    write_json(files[1], {"protocols": words, "cases": cases, "means": means_as_data(means)})
    return Evaluated(means, files)


def show_evaluated(evaluated: Evaluated) -> None:
    """Print the tables."""
    for line in evaluated.lines():
        typer.echo(line)
