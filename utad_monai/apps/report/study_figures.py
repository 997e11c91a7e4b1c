"""The figures of a study, as files: translations, features, curves, Dice, missing modalities and intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas
import torch
from matplotlib.figure import Figure
from torch import Tensor

from utad_monai.apps.report.figures import (
    dice_figure,
    dice_scatter,
    feature_error_figure,
    interval_figure,
    missing_figure,
    translation_figure,
)
from utad_monai.apps.study.measuring import load_methods, read_study_table, study_calibrations, study_cohort
from utad_monai.apps.study.plan import TEACHER, StudyPlan
from utad_monai.apps.study.results import StudyFile, StudyProtocol
from utad_monai.data import EvaluationCases
from utad_monai.handlers import training_curves
from utad_monai.inferers import SliceTranslator, source_channels
from utad_monai.keys import BatchKey, ImageSource, Modality, Split, TumourRegion
from utad_monai.models import TranslatorModel
from utad_monai.models.stages import HISTORY_FILE
from utad_monai.runtime.files import atomic_path, read_table, write_json
from utad_monai.transforms import mask_tumour

FIGURES_DIR = "figures"
CAPTIONS_FILE = "captions.json"
"""File name to caption of every figure, in the order of reading."""
EXAMPLES = (
    (Modality.T1, Modality.T1CE),
    (Modality.T1, Modality.T2),
    (Modality.T2, Modality.FLAIR),
    (Modality.FLAIR, Modality.T1CE),
)
"""Pairs of source and target whose translations are drawn."""
_INTERVALS = ("tumour_ssim", "tumour_mae", "dice_WT", "dice_TC", "dice_ET", "s_score_WT")
_FILLS = (
    *(ImageSource.COPY_SOURCE, ImageSource.FLAT_BRAIN, ImageSource.CONTRAST_MAP),
    *(ImageSource.STARTER, ImageSource.ZERO_FILL),
)
"""What stands for a translation; an earlier version's study lacks contrast maps, an installation may lack a starter."""


def write_study_figures(plan: StudyPlan, dataset_dir: str | Path, output_dir: str | Path) -> list[Path]:
    """Draw the figures of a finished study into `output_dir/figures`.

    Args:
        plan: what was compared.
        dataset_dir: its cohort.
        output_dir: folder of the study.

    Returns:
        The files, in the order of reading.
    """
    folder = Path(output_dir) / FIGURES_DIR
    captions = {}
    for name, caption, figure in study_figures(plan, dataset_dir, Path(output_dir)):
        with atomic_path(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png")
        captions[f"{name}.png"] = caption
    write_json(folder / CAPTIONS_FILE, captions)
    return [folder / name for name in captions]


def study_figures(plan: StudyPlan, dataset_dir: str | Path, output: Path) -> Iterator[tuple[str, str, Figure]]:
    """Yield name, caption and figure of everything that a finished study can show."""
    pairs, subsets, results = (
        read_study_table(output / name) for name in (StudyFile.PAIRS, StudyFile.SUBSETS, StudyFile.RESULTS)
    )
    translation = results[results["protocol"] == StudyProtocol.TRANSLATION]
    measured = set(translation["method"])
    found = [str(fill) for fill in _FILLS if fill in measured]
    bounds = [str(bound) for bound in (ImageSource.PAIRED_CONTRAST_MAP, ImageSource.REAL) if bound in measured]
    shown = [*(method.name for method in plan.methods), *found]
    yield (
        "intervals",
        "Tumour measures and downstream Dice of every method, mean over test cases with 95 % bootstrap interval",
        interval_figure(translation, _INTERVALS, [*shown, *bounds]),
    )
    wide = _wide(pairs, plan.reference)
    fills = [str(ImageSource.REAL), str(ImageSource.SYNTHESIZED), *found]
    yield "dice", f"Dice when one modality is replaced; synthesized by {plan.reference}", dice_figure(wide, fills)
    lines = [str(ImageSource.REAL), plan.reference, *plan.baselines, *found]
    yield (
        "missing",
        "Dice against the number of real modalities; the others are replaced",
        missing_figure(subsets, lines),
    )
    yield (
        "scatter",
        f"WT Dice per case and pair with one modality synthesized by {plan.reference}, against all real",
        dice_scatter(wide, TumourRegion.WT),
    )
    yield from _pictures(plan, dataset_dir, output)
    for name in (TEACHER, plan.reference):
        history = plan.stage_dir(name, output) / HISTORY_FILE
        if history.is_file():
            yield f"curves_{name}", f"Training of {name}", training_curves(read_table(history))


def _wide(pairs: pandas.DataFrame, reference: str) -> pandas.DataFrame:
    """Return one row per case and pair with columns `dice_<fill>_<region>`, as the evaluation bundle writes them."""
    named = pairs.replace({"method": {reference: str(ImageSource.SYNTHESIZED)}})
    by_method = named.set_index(["case", "source", "target"]).groupby("method")
    renamed = [
        rows[[f"dice_{region}" for region in TumourRegion]].rename(
            columns={f"dice_{region}": f"dice_{method}_{region}" for region in TumourRegion}
        )
        for method, rows in by_method
    ]
    return pandas.concat(renamed, axis="columns").reset_index()


def _pictures(plan: StudyPlan, dataset_dir: str | Path, output: Path) -> Iterator[tuple[str, str, Figure]]:
    cohort = study_cohort(plan, dataset_dir, output)
    case = EvaluationCases(cohort.store, cohort.complete_cases(Split.TEST))[0]
    methods = load_methods(plan, output)
    calibrations = study_calibrations(cohort, {name: model.reference_histograms for name, model in methods.items()})
    mask = case[BatchKey.LABEL][0]
    place = int(mask.flatten(1).sum(dim=1).argmax())
    slices = {modality: image[place] for modality, image in case[BatchKey.IMAGE].items()}
    for source, target in EXAMPLES:
        made = {"copy": slices[source]} | {
            name: SliceTranslator(model.generator, calibration=calibrations.get(name))(
                {source: slices[source][None]}, target, mask[place][None]
            )[0]
            for name, model in methods.items()
        }
        yield (
            f"translation_{source}_{target}",
            f"{source} to {target}, case {case[BatchKey.CASE_ID]}: slice, tumour and absolute error by every method",
            translation_figure(slices[source], made, slices[target], mask[place]),
        )
    yield from _features(plan, methods, slices[Modality.T1], mask[place])


def _features(
    plan: StudyPlan, methods: Mapping[str, TranslatorModel], image: Tensor, mask: Tensor
) -> Iterator[tuple[str, str, Figure]]:
    if TEACHER not in methods:
        return
    target = Modality.T2
    teacher = _bottleneck(methods[TEACHER], image, mask, target)
    students = {
        method.name: _bottleneck(methods[method.name], image, mask, target)
        for method in plan.methods
        if method.after == TEACHER and methods[method.name].generator.fusion is not None
    }
    caption = f"Fused bottleneck of teacher and students, t1 to {target}: each pixel is one channel"
    yield "features", caption, feature_error_figure(teacher, students)


@torch.inference_mode()
def _bottleneck(model: TranslatorModel, image: Tensor, mask: Tensor, target: Modality) -> Tensor:
    """Return the fused bottleneck `(C, h, w)` of one T1 slice."""
    whole = source_channels({Modality.T1: image[None]}, model.generator.several)
    second = mask_tumour(whole, mask[None, None]) if model.generator.needs_mask else whole
    modality = torch.tensor([target.channel])
    translation: Any = model.generator.eval()(whole, second, modality, with_tumour_image=False)
    return translation.bottleneck[0]  # type: ignore[no-any-return]
