"""Pictures during training: one slice of a validation case, every source to every target."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from ignite.engine import Engine, Events
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from transforms import BACKGROUND
from utad_monai.atomic import atomic_path
from utad_monai.data.complete import EvaluationCases
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import BatchKey, Modality


class SampleGrid:
    """After each validation, write a grid of translations: sources in rows, the source image first, targets beside it.

    Args:
        output_dir: folder for `epoch_<n>.png`.
        cases: validation cases; the first one is shown, at its slice with most tumour.
        translator: the generator to show.
        log_dir: TensorBoard folder that receives the picture too; None for none.
    """

    def __init__(
        self,
        output_dir: str | Path,
        cases: EvaluationCases,
        translator: SliceTranslator,
        log_dir: str | Path | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.cases = cases
        self.translator = translator
        self.log_dir = log_dir

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
        """Return the figure: per available source a row with the image and its translation to each modality."""
        case = self.cases[0]
        images: dict[Modality, Tensor] = case[BatchKey.IMAGE]
        mask: Tensor = case[BatchKey.LABEL][0]
        place = int(mask.flatten(1).sum(dim=1).argmax())
        figure, axes = plt.subplots(
            len(images), 1 + len(Modality), figsize=(9, 2.2 * len(images)), squeeze=False, layout="constrained"
        )
        for row, (source, image) in zip(axes, images.items(), strict=True):
            shown, region = image[place : place + 1], mask[place : place + 1]
            _show(row[0], shown[0], f"{source} (input)")
            for axis, target in zip(row[1:], Modality, strict=True):
                _show(axis, self.translator(shown, target, region)[0], f"to {target}")
        figure.suptitle(f"case {case[BatchKey.CASE_ID]}, slice {place}", parse_math=False)
        return figure


def _show(axis: Axes, image: Tensor, title: str) -> None:
    pixels = np.asarray(image.to(torch.float32))
    axis.imshow(pixels, cmap="gray", vmin=BACKGROUND, vmax=1, interpolation="nearest")
    axis.set_title(title, fontsize=8)
    axis.axis("off")
