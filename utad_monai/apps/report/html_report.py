"""One HTML file that holds a whole evaluation: protocol, tables, figures, slices and a 3-D viewer, all offline."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
from matplotlib.figure import Figure
from torch import Tensor

from utad_monai import __version__
from utad_monai.apps.report.conclusions import SIMPLE, summary_conclusions
from utad_monai.apps.report.figures import dice_figure, dice_scatter, translation_figure
from utad_monai.apps.report.labels import measure_label, method_label
from utad_monai.apps.report.page import (
    LABEL_STEP,
    content_security_policy,
    image_sprite,
    inlined,
    label_sprite,
    page_style,
    page_template,
    sprite_columns,
    training_health,
)
from utad_monai.apps.report.study_figures import EXAMPLES
from utad_monai.apps.report.study_section import study_section
from utad_monai.data.cohort import PreparedCohort, prepare_cohort
from utad_monai.data.complete import EvaluationCases
from utad_monai.data.quality.finding import policy_of
from utad_monai.engines.evaluations import SUMMARY_FILE, TABLE_FILE
from utad_monai.handlers import training_curves
from utad_monai.inferers import CohortCalibrator, SliceTranslator
from utad_monai.keys import BatchKey, ImageSource, Modality, Split
from utad_monai.metrics.downstream import DownstreamSegmentation, replace
from utad_monai.metrics.protocols import PROTOCOL_IN_WORDS
from utad_monai.models import TranslatorModel, load_segmenter, load_stage
from utad_monai.models.stages import HISTORY_FILE, MissingStageError, Stage, existing_model
from utad_monai.models.translator_model import refuse_other_modalities
from utad_monai.runtime.files import atomic_path, read_table
from utad_monai.runtime.folder_lock import locked_folder
from utad_monai.transforms import regions_to_labels

REPORT_FILE = "report.html"
MAX_CASES = 8
_MAX_PIXELS_PER_VOLUME = 700_000
"""Slices are thinned out so that one volume has no more pixels: eight cases stay below 25 MB."""
_HERE = Path(__file__).parent
_FILLS = (ImageSource.REAL, ImageSource.SYNTHESIZED, ImageSource.COPY_SOURCE, ImageSource.ZERO_FILL)


@dataclass(frozen=True)
class _Models:
    student: TranslatorModel
    translate: SliceTranslator
    segmentation: DownstreamSegmentation


def write_report(output_dir: str | Path, dataset_dir: str | Path, max_cases: int = MAX_CASES) -> Path:
    """Write `output_dir/report.html` from the results of an evaluation, of a study, or of both.

    Args:
        output_dir: folder of a run that was evaluated, or of a study.
        dataset_dir: the cohort of that run; its prepared slices are reused.
        max_cases: complete test cases that can be browsed.

    Returns:
        The path of the report.

    Raises:
        MissingStageError: when a stage has not run, naming the command.
        CheckpointError: when a model is unusable.
        CohortError: when the cohort is not the run's.
        FolderInUseError: when another run writes to the folder.
        OutputError: when the folder cannot be written, or its disk is full.
    """
    output = Path(output_dir)
    summary, table = _measured(output)
    study = study_section(output)
    if study is None and summary is None:
        raise MissingStageError(Stage.EVALUATION, output / Stage.EVALUATION / SUMMARY_FILE)
    with locked_folder(output, deep=False):
        return _write_report(output, dataset_dir, max_cases, summary, study, table=table)


def _write_report(
    output: Path,
    dataset_dir: str | Path,
    max_cases: int,
    summary: dict[str, Any] | None,
    study: dict[str, Any] | None,
    *,
    table: pandas.DataFrame | None,
) -> Path:
    protocol = (summary or study or {})["protocol"]
    student = load_stage(output, Stage.STUDENT)
    refuse_other_modalities(output, student, "the report")
    segmenter = load_segmenter(existing_model(output, Stage.SEGMENTATION))
    policy = policy_of(output)
    cohort = prepare_cohort(dataset_dir, output, student.preprocessing, progress=False, on_bad_case=policy)
    evaluated = cohort.complete_cases(Split(protocol["split"]))[:max_cases]
    cases = EvaluationCases(cohort.store, evaluated)
    calibrator = CohortCalibrator(
        cohort.store, cohort.cases(Split.TRAIN), judged=cohort.cases(Split(protocol["split"]))
    )
    translate = SliceTranslator(student.generator, calibration=calibrator.fit(student.reference_histograms))
    models = _Models(student, translate, DownstreamSegmentation(segmenter.network))
    loaded = [cases[place] for place in range(len(cases))]
    browser = [_browser_case(case, models, cohort) for case in loaded]
    figures = [] if table is None else _figures(output, table, loaded, models)
    pairs = [] if table is None else _pairs(table)
    said = {} if summary is None or table is None else summary_conclusions(summary, table, pairs)
    page = _render(protocol, summary, study, pairs, figures, browser=browser, health=training_health(output), said=said)
    path = output / REPORT_FILE
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _measured(output: Path) -> tuple[dict[str, Any] | None, pandas.DataFrame | None]:
    path = output / Stage.EVALUATION / SUMMARY_FILE
    if not path.is_file():
        return None, None
    return json.loads(path.read_text(encoding="utf-8")), read_table(path.with_name(TABLE_FILE))


def _browser_case(case: Mapping[str, Any], models: _Models, cohort: PreparedCohort) -> dict[str, Any]:
    """Return one case for the slice browser: sprites of real and synthetic images and of segmentations."""
    images: dict[Modality, Tensor] = case[BatchKey.IMAGE]
    truth: Tensor = case[BatchKey.LABEL]
    count, height, width = images[Modality.FLAIR].shape
    step = max(1, -(-count * height * width // _MAX_PIXELS_PER_VOLUME))
    made = {}
    for target in Modality:
        sources = models.student.sources(target, tuple(images))
        translated = models.translate({source: images[source] for source in sources}, target)
        segmented = models.segmentation.segment(replace(images, target, translated))
        made[str(target)] = {
            "source": str(models.student.best_source(target, sources)),
            "sources": ", ".join(sources),
            "image": image_sprite(translated[::step]),
            "labels": label_sprite(regions_to_labels(segmented)[0, ::step]),
        }
    height_mm, width_mm = cohort.store.preprocessing.pixel_mm
    return {
        "id": case[BatchKey.CASE_ID],
        "slices": len(range(0, count, step)),
        "height": height,
        "width": width,
        "columns": sprite_columns(len(range(0, count, step))),
        "pixel_mm": [width_mm, height_mm, cohort.store.cases[case[BatchKey.CASE_ID]].slice_mm * step],
        "real": {str(modality): image_sprite(image[::step]) for modality, image in images.items()},
        "truth": label_sprite(regions_to_labels(truth)[0, ::step]),
        "real_labels": label_sprite(regions_to_labels(models.segmentation.segment(images))[0, ::step]),
        "synthetic": made,
        "start": int(truth[0, ::step].flatten(1).sum(dim=1).argmax()),
    }


def _figures(
    output: Path, table: pandas.DataFrame, cases: list[dict[str, Any]], models: _Models
) -> list[dict[str, str]]:
    """Return caption and data URI of every figure that the run has data for."""
    figures = [
        ("Dice of the downstream segmentation when one modality is replaced", dice_figure(table, _FILLS)),
        ("Dice with a synthesized modality against the Dice with the real one", dice_scatter(table)),
    ]
    figures += [
        (f"Training of the {stage}", training_curves(read_table(output / stage / HISTORY_FILE)))
        for stage in (Stage.TEACHER, Stage.STUDENT)
        if (output / stage / HISTORY_FILE).is_file()
    ]
    if cases:
        figures += [
            (f"{source} to {target}: slice, tumour and error", _example(cases[0], source, target, models))
            for source, target in EXAMPLES
        ]
    return [{"caption": caption, "uri": _figure_uri(figure)} for caption, figure in figures]


def _example(case: Mapping[str, Any], source: Modality, target: Modality, models: _Models) -> Figure:
    images, mask = case[BatchKey.IMAGE], case[BatchKey.LABEL][0]
    place = int(mask.flatten(1).sum(dim=1).argmax())
    translated = models.translate({source: images[source][place : place + 1]}, target)[0]
    made = {"student": translated, "copy of source": images[source][place]}
    return translation_figure(images[source][place], made, images[target][place], mask[place])


def _figure_uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _pairs(table: pandas.DataFrame) -> list[dict[str, Any]]:
    """Return the mean over cases of every source and target, for the sortable table."""
    columns = [name for name in _pair_columns() if name in table]
    means = table.groupby(["source", "target"], as_index=False)[columns].mean()
    return [dict(zip(means.columns, row, strict=True)) for row in means.itertuples(index=False)]


def _pair_columns() -> dict[str, str]:
    """Return the columns of the table of pairs as people call them, by name; not every evaluation has all of them."""
    methods = (ImageSource.STUDENT, *SIMPLE)
    named = {
        f"{method}_{measure}": f"{method_label(method)}: {measure_label(measure)}"
        for measure in ("ssim", "tumour_mae")
        for method in methods
    }
    return named | {f"dice_{fill}_WT": f"{method_label(fill)}: {measure_label('dice_WT')}" for fill in _FILLS}


def _render(
    protocol: Mapping[str, Any],
    summary: Mapping[str, Any] | None,
    study: Mapping[str, Any] | None,
    pairs: list[dict[str, Any]],
    figures: list[dict[str, str]],
    *,
    browser: list[dict[str, Any]],
    health: list[dict[str, Any]],
    said: Mapping[str, Any],
) -> str:
    scripts = {name: inlined(_HERE / "templates" / f"{name}.js") for name in ("tables", "browser")}
    niivue = inlined(_HERE / "vendor" / "niivue" / "niivue.umd.js") if browser else ""
    style = page_style()
    return page_template("report.html").render(
        version=__version__,
        protocol=protocol,
        summary=summary,
        study=study,
        pairs=pairs,
        figures=figures,
        cases=browser,
        modalities=[str(modality) for modality in Modality],
        # `<` cannot end the script element that holds the data
        data=json.dumps({"label_step": LABEL_STEP, "cases": browser}).replace("<", "\\u003c"),
        health=health,
        said=said,
        pair_columns=_pair_columns(),
        protocol_in_words={str(name): words for name, words in PROTOCOL_IN_WORDS.items()},
        measure_label=measure_label,
        method_label=method_label,
        simple_fills=[str(ImageSource.ZERO_FILL), *map(str, SIMPLE)],
        policy=content_security_policy([*scripts.values(), niivue], style),
        style=style,
        scripts=scripts,
        niivue=niivue,
    )
