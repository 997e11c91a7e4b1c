"""Figures as functions that return a matplotlib figure: translations, feature errors, curves, Dice and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from utad_monai.data import EvaluationCases, prepare_cohort
from utad_monai.data.quality.finding import empty_split
from utad_monai.engines.measurements import SEPARATOR
from utad_monai.handlers.curves import PALETTE
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import BatchKey, Modality, Split, TumourRegion
from utad_monai.models import TranslatorModel, load_stage
from utad_monai.models.stages import Stage
from utad_monai.runtime.files import atomic_path
from utad_monai.transforms import BACKGROUND, CropTumour

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""One for each colour: a line is never told by its colour alone."""
_DASHES = ("-", "--", ":")
"""Lines beyond the eighth begin the colours again, and are dashed."""
_ERROR_RANGE = 0.5
"""Brightest error of the maps, with intensities on [0, 1]."""


def translation_figure(source: Tensor, made: Mapping[str, Tensor], real: Tensor, tumour_mask: Tensor) -> Figure:
    """Draw one translation by several methods, as in Figure 3 of the paper.

    Columns: the source, each method, the ground truth. Rows: whole slice, tumour zoom, absolute error to the truth.

    Args:
        source: `(H, W)` in [-1, 1].
        made: per method the translated slice, the same shape.
        real: the true target slice.
        tumour_mask: `(H, W)`, 0 or 1; an empty mask shows the whole slice twice.
    """
    columns = {"source": source, **made, "ground truth": real}
    box = CropTumour(margin=6, min_size=24).box(tumour_mask[None])
    width = min(1.9, 20 / len(columns))
    figure, axes = _grid(3, len(columns), width, height=width * source.shape[0] / source.shape[1] + 0.2)
    for place, (name, image) in enumerate(columns.items()):
        _picture(axes[0, place], image, name.replace("_", "\n"))
        _picture(axes[1, place], image[box])
        error = (image - real).abs() / 2
        shown = axes[2, place].imshow(np.asarray(error), cmap="inferno", vmin=0, vmax=_ERROR_RANGE)
        axes[2, place].axis("off")
    figure.colorbar(shown, ax=axes.ravel().tolist(), fraction=0.02, aspect=40, label="absolute error on [0, 1]")
    for axis, label in zip(axes[:, 0], ("slice", "tumour", "error"), strict=True):
        axis.text(-0.08, 0.5, label, transform=axis.transAxes, rotation=90, va="center", ha="right", fontsize=8)
    return figure


def feature_error_figure(teacher: Tensor, students: Mapping[str, Tensor]) -> Figure:
    """Draw the fused bottlenecks of teacher and students and their errors, each pixel one channel (Figure 5).

    Args:
        teacher: `(C, h, w)` bottleneck of one slice.
        students: the same shape, by name.
    """
    figure, axes = _grid(2, 1 + len(students), width=2.4)
    reference = _channel_map(teacher)
    top = float(reference.nan_to_num().max()) or 1.0
    _heat(axes[0, 0], reference, "teacher: mean |f| per channel", top)
    axes[1, 0].axis("off")
    for place, (name, features) in enumerate(students.items(), start=1):
        error = (features - teacher).abs().mean(dim=(1, 2))
        _heat(axes[0, place], _channel_map(features), f"{name}: mean |f| per channel", top)
        _heat(axes[1, place], _square(error), f"error, mean {float(error.mean()):.3f}", top)
    return figure


def dice_figure(table: pandas.DataFrame, fills: Sequence[str]) -> Figure:
    """Draw the mean Dice per replaced modality, one panel per region, one bar per fill.

    Args:
        table: rows of `evaluation.csv`: `target` and `dice_<fill>_<region>`.
        fills: what replaced the modality, in the order of the bars.
    """
    figure, axes = _grid(1, len(TumourRegion), width=3.4, height=3.0)
    means = table.groupby("target").mean(numeric_only=True).reindex(list(Modality))
    for axis, region in zip(axes[0], TumourRegion, strict=True):
        width = 0.8 / len(fills)
        for place, fill in enumerate(fills):
            values = means[f"dice_{fill}_{region}"]
            axis.bar(np.arange(len(means)) + place * width, values, width, label=fill, color=PALETTE[place])
        axis.set_xticks(np.arange(len(means)) + 0.4 - width / 2, list(means.index))
        axis.set(title=str(region), ylim=(0, 1), ylabel="Dice")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(fills), fontsize=8)
    return figure


def missing_figure(table: pandas.DataFrame, methods: Sequence[str]) -> Figure:
    """Draw the mean Dice against the number of available modalities, one panel per region, one line per method.

    Args:
        table: rows of a study's subset table: `available` (names joined by `+`), `method` and `dice_<region>`.
        methods: the lines, in order.
    """
    figure, axes = _grid(1, len(TumourRegion), width=3.4, height=3.0)
    counted = table.assign(count=table["available"].map(lambda names: len(names.split(SEPARATOR))))
    for axis, region in zip(axes[0], TumourRegion, strict=True):
        for place, method in enumerate(methods):
            means = counted[counted["method"] == method].groupby("count")[f"dice_{region}"].mean()
            again, colour = divmod(place, len(PALETTE))
            style = {"color": PALETTE[colour], "marker": MARKERS[colour], "linestyle": _DASHES[again % len(_DASHES)]}
            axis.plot(means.index, means, label=method, markersize=4, **style)
        axis.set(title=str(region), ylim=(0, 1), xlabel="real modalities", ylabel="Dice", xticks=[1, 2, 3])
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=7)
    return figure


def interval_figure(results: pandas.DataFrame, metrics: Sequence[str], methods: Sequence[str]) -> Figure:
    """Draw the mean of each method with its interval, one panel per metric.

    Args:
        results: rows of one protocol of a study's result table.
        metrics: the panels.
        methods: the rows of each panel, from the top.
    """
    figure, axes = _grid(1, len(metrics), width=2.6, height=0.6 + 0.26 * len(methods))
    for axis, metric in zip(axes[0], metrics, strict=True):
        rows = results[results["metric"] == metric].set_index("method").reindex(list(methods))
        heights = np.arange(len(methods))[::-1]
        axis.hlines(heights, rows["low"], rows["high"], color=PALETTE[0])
        axis.plot(rows["mean"], heights, "o", color=PALETTE[5], markersize=4)
        axis.set_yticks(heights, list(methods) if axis is axes[0, 0] else [""] * len(methods), fontsize=7)
        axis.tick_params(axis="x", labelsize=7)
        axis.grid(axis="x", color="0.9")
        axis.set_title(metric, fontsize=8)
    return figure


def dice_scatter(table: pandas.DataFrame, region: TumourRegion = TumourRegion.WT) -> Figure:
    """Draw, per case and pair, the Dice with the synthesized modality against the Dice with the real one."""
    figure, axes = _grid(1, 1, width=4.0, height=4.0)
    axis = axes[0, 0]
    for place, target in enumerate(Modality):
        rows = table[table["target"] == target]
        real, synthesized = rows[f"dice_real_{region}"], rows[f"dice_synthesized_{region}"]
        axis.scatter(real, synthesized, s=14, label=target, color=PALETTE[place], marker=MARKERS[place])
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel=f"{region} Dice, all real", ylabel=f"{region} Dice, one synthesized")
    axis.legend(title="synthesized", fontsize=7)
    return figure


def _grid(rows: int, columns: int, width: float, height: float | None = None) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(width * columns, (height or width) * rows), layout="constrained", dpi=110)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _picture(axis: Axes, image: Tensor, title: str = "") -> None:
    axis.imshow(np.asarray(image.to(torch.float32)), cmap="gray", vmin=BACKGROUND, vmax=1, interpolation="nearest")
    axis.set_title(title, fontsize=8)
    axis.axis("off")


def _heat(axis: Axes, image: Tensor, title: str, top: float) -> None:
    axis.imshow(np.asarray(image), cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
    axis.set_title(title, fontsize=7)
    axis.axis("off")


def _channel_map(features: Tensor) -> Tensor:
    return _square(features.abs().mean(dim=(1, 2)))


def _square(values: Tensor) -> Tensor:
    """Arrange `(C,)` values row by row in the smallest square that holds them; what is left over is NaN."""
    side = int(np.ceil(np.sqrt(len(values))))
    padded = torch.full((side * side,), torch.nan)
    padded[: len(values)] = values.detach()
    return padded.reshape(side, side)


PREVIEW_FILE = "preview.png"
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
