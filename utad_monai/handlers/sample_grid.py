"""Pictures during training: one slice of a validation case, every source to every target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from ignite.engine import Engine, Events
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from utad_monai.data.complete import EvaluationCases
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import BatchKey, Modality
from utad_monai.runtime.files import atomic_path
from utad_monai.transforms import BACKGROUND

_BESIDE = (1.02, 0.0, 0.36, 0.36)
"""Left, bottom, width and height of the close-up as shares of its picture: beside it, where it hides nothing."""


class SampleGrid:
    """After each validation, write a grid of translations: sources in rows, the source image first, targets beside it.

    Args:
        output_dir: folder for `epoch_<n>.png`.
        cases: validation cases; the first one is shown, at its slice with most tumour.
        translator: the generator to show.
        log_dir: TensorBoard folder that receives the picture too; None for none.
        close_up: cuts the tumour out of `image` by `tumour_mask` (`CropTumourd`), which is shown beside every picture;
            None for no close-up.
    """

    def __init__(
        self,
        output_dir: str | Path,
        cases: EvaluationCases,
        *,
        translator: SliceTranslator,
        log_dir: str | Path | None = None,
        close_up: Callable[[Mapping[Any, Any]], Mapping[Any, Any]] | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.cases = cases
        self.translator = translator
        self.log_dir = log_dir
        self.close_up = close_up

    def attach(self, engine: Engine) -> None:
        """Register on the validator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Draw and write the grid of this epoch."""
        figure = self.draw()
        with atomic_path(self.output_dir / f"epoch_{engine.state.epoch:04d}.png") as temporary:
            figure.savefig(temporary)
        if self.log_dir is not None:
            with SummaryWriter(str(self.log_dir)) as writer:
                writer.add_figure("translations", figure, engine.state.epoch)
        plt.close(figure)

    def draw(self) -> Figure:
        """Return the figure: a row per source, with the image and its translation to each modality.

        A generator of several sources has one row more: from all other modalities at once.
        """
        case = self.cases[0]
        images: dict[Modality, Tensor] = case[BatchKey.IMAGE]
        mask: Tensor = case[BatchKey.LABEL][0]
        place = int(mask.flatten(1).sum(dim=1).argmax())
        together = self.translator.several and len(images) > 1
        rows = len(images) + together
        figure, axes = plt.subplots(
            rows,
            1 + len(self.translator.modalities),
            figsize=(9 if self.close_up is None else 12, 2.2 * rows),
            squeeze=False,
            layout="constrained",
        )
        region = mask[place : place + 1]
        shown = {modality: image[place : place + 1] for modality, image in images.items()}
        for row, source in zip(axes, shown, strict=False):
            self._show(row[0], shown[source], region, f"{source} (input)")
            self._show_translations(row[1:], {source: shown[source]}, region)
        if together:
            axes[-1][0].axis("off")
            self._show_translations(axes[-1][1:], shown, region, "all others ")
        figure.suptitle(f"case {case[BatchKey.CASE_ID]}, slice {place}", parse_math=False)
        return figure

    def _show_translations(
        self, row: Sequence[Axes], images: Mapping[Modality, Tensor], region: Tensor, sources: str = ""
    ) -> None:
        """Show the translation of images `(1, H, W)` to each modality; of several sources none to itself."""
        for axis, target in zip(row, self.translator.modalities, strict=True):
            given = {m: image for m, image in images.items() if m != target or not self.translator.several}
            if given:
                self._show(axis, self.translator(given, target, region), region, f"{sources}to {target}")
            else:
                axis.axis("off")

    def _show(self, axis: Axes, image: Tensor, region: Tensor, title: str) -> None:
        """Show a slice `(1, H, W)` and, where there is a tumour `(1, H, W)`, its close-up beside it."""
        _show(axis, image[0], title)
        if self.close_up is not None and bool(region.any()):
            cut = self.close_up({BatchKey.IMAGE: image, BatchKey.TUMOUR_MASK: region})[BatchKey.IMAGE]
            _show(axis.inset_axes(_BESIDE), cut[0], "")


def _show(axis: Axes, image: Tensor, title: str) -> None:
    pixels = np.asarray(image.to(torch.float32))
    axis.imshow(pixels, cmap="gray", vmin=BACKGROUND, vmax=1, interpolation="nearest")
    axis.set_title(title, fontsize=8)
    axis.axis("off")
