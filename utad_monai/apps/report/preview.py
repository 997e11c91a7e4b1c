"""One picture of what a run makes: sources, synthetic image, real image and error of a test patient."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utad_monai.data import EvaluationCases, prepare_cohort
from utad_monai.data.quality.finding import empty_split
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import BatchKey, Split
from utad_monai.models import TranslatorModel, load_stage
from utad_monai.models.stages import Stage
from utad_monai.runtime.files import atomic_path

PREVIEW_FILE = "preview.png"
_ERROR_RANGE = 0.5
"""Brightest error, with intensities on [0, 1]."""


def write_preview(output_dir: str | Path, dataset_dir: str | Path) -> Path:
    """Draw every modality of the first complete test case as the run's student makes it from the others.

    Args:
        output_dir: folder of a run with a student; receives `preview.png`.
        dataset_dir: its cohort.

    Returns:
        The picture's path.

    Raises:
        MissingStageError: when there is no student.
        CohortError: when no test case has all four modalities and a segmentation.
    """
    student = load_stage(output_dir, Stage.STUDENT)
    cohort = prepare_cohort(dataset_dir, output_dir, student.preprocessing, progress=False)
    cases = cohort.complete_cases(Split.TEST)
    if not cases:
        raise empty_split("complete test case with a segmentation")
    figure = preview_figure(EvaluationCases(cohort.store, cases[:1])[0], student)
    path = Path(output_dir) / PREVIEW_FILE
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)
    return path


def preview_figure(case: Mapping[str, Any], student: TranslatorModel) -> Figure:
    """Draw the slice with most tumour: a row for each target, with its sources, translation, truth and error.

    Args:
        case: of `EvaluationCases`, with all modalities and a segmentation.
        student: a mask-free model; of one source it uses its best one, of several all of them.
    """
    images, label = case[BatchKey.IMAGE], case[BatchKey.LABEL]
    place = int(label[0].flatten(1).sum(dim=1).argmax())
    slices = {modality: image[place : place + 1] for modality, image in images.items()}
    translate = SliceTranslator(student.generator, modalities=student.modalities)
    every = student.modalities
    size = 11.4 * (len(every) + 2) / 6, 9.6 * len(every) / 4
    figure, axes = plt.subplots(len(every), len(every) + 2, figsize=size, squeeze=False)
    for row, target in zip(axes, every, strict=True):
        sources = student.sources(target, tuple(slices))
        made = translate({source: slices[source] for source in sources}, target)[0]
        others = [modality for modality in every if modality != target]
        for axis, modality in zip(row, others, strict=False):
            used = modality in sources
            title = f"source {modality}" if used else f"{modality} (not used)"
            _show(axis, slices[modality][0], title, alpha=1.0 if used else 0.3)
        _show(row[-3], made, f"synthetic {target}")
        _show(row[-2], slices[target][0], f"real {target}")
        error = (made - slices[target][0]).abs() / 2
        row[-1].imshow(np.asarray(error), cmap="inferno", vmin=0, vmax=_ERROR_RANGE)
        row[-1].set_title(f"error, mean {float(error[slices[target][0] > -1].mean()):.2f}", fontsize=8)
        row[-1].axis("off")
    figure.suptitle(f"{case[BatchKey.CASE_ID]}: made from the other modalities; errors on [0, 1]", fontsize=9)
    figure.tight_layout()
    return figure


def _show(axis: Axes, image: torch.Tensor, title: str, alpha: float = 1.0) -> None:
    axis.imshow(np.asarray(image), cmap="gray", vmin=-1, vmax=1, alpha=alpha)
    axis.set_title(title, fontsize=8)
    axis.axis("off")
