"""Every method of a study on the same cases: image quality, shape, consistency and downstream Dice, case by case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, IterationEvents
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from transforms import BACKGROUND
from utad_monai.atomic import atomic_path
from utad_monai.data.problems import empty_split
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import BatchKey, ImageSource, Modality, TumourRegion
from utad_monai.metrics.consistency import slice_consistency
from utad_monai.metrics.downstream import DownstreamSegmentation, replace
from utad_monai.metrics.identity_copy import identity_copy_score
from utad_monai.metrics.image_quality import image_quality, region_mae
from utad_monai.metrics.lesion_volume import lesion_volume_change
from utad_monai.metrics.segmentation import region_dice

STUDY_TABLE_FILE = "study.csv"


class StudyEvaluator(Evaluator):
    """Measure many methods on complete test cases; write `study.csv`, one row per case, source, target and method.

    Besides the study's methods every pair is measured with the real target (the bound of the downstream Dice), a copy
    of the source and a zero-filled image.

    Args:
        device: where to compute.
        val_data_loader: yields complete cases of `utad_monai.data.EvaluationCases`, one at a time.
        translators: the methods by name.
        segmentation: the downstream segmentation network.
        output_dir: folder for the table.
        val_handlers: handlers with an `attach` method.

    Raises:
        CohortError: when there is no case to measure.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: DataLoader[Any],
        translators: Mapping[str, SliceTranslator],
        segmentation: DownstreamSegmentation,
        output_dir: str | Path,
        val_handlers: Sequence[Any] | None = None,
    ) -> None:
        if len(val_data_loader) == 0:
            raise empty_split("complete test case with a segmentation")
        self.translators = dict(translators)
        self.segmentation = segmentation
        self.output_dir = Path(output_dir)
        self.rows: list[dict[str, Any]] = []
        super().__init__(device=device, val_data_loader=val_data_loader, val_handlers=val_handlers, decollate=False)
        self.add_event_handler(Events.STARTED, self._open)
        self.add_event_handler(Events.COMPLETED, self._write)

    @property
    def table(self) -> pandas.DataFrame:
        """All rows measured so far."""
        return pandas.DataFrame(self.rows)

    def _open(self, _: Engine) -> None:
        self.rows.clear()
        self._bar = tqdm(total=self.state.epoch_length, desc="Measuring the study", unit="case")

    def _write(self, _: Engine) -> None:
        self._bar.close()
        with atomic_path(self.output_dir / STUDY_TABLE_FILE) as temporary:
            self.table.to_csv(temporary, index=False)

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Measure one case with every method and return its rows under `rows`."""
        images, truth = batchdata[BatchKey.IMAGE], batchdata[BatchKey.LABEL]
        rows = []
        for source in Modality:
            for target in Modality:
                if source != target:
                    names = {"case": batchdata[BatchKey.CASE_ID], "source": str(source), "target": str(target)}
                    rows += [names | row for row in self._methods(images, source, target, truth)]
        self.rows.extend(rows)
        self._bar.update()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return {"rows": rows}

    def _methods(
        self, images: Mapping[Modality, Tensor], source: Modality, target: Modality, truth: Tensor
    ) -> Iterator[dict[str, Any]]:
        for method, image in self._substitutes(images, source, target, truth[0]):
            measured = measure_translation(images[source], image, images[target], truth)
            segmented = self.segmentation.segment(replace(images, target, image))
            changes = lesion_volume_change(segmented, truth)
            yield (
                {"method": method}
                | measured
                | {f"dice_{region}": value for region, value in region_dice(segmented, truth).items()}
                | {f"volume_change_{region}": value for region, value in changes.items()}
            )

    def _substitutes(
        self, images: Mapping[Modality, Tensor], source: Modality, target: Modality, mask: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        yield str(ImageSource.REAL), images[target]
        yield str(ImageSource.COPY_SOURCE), images[source]
        yield str(ImageSource.ZERO_FILL), torch.full_like(images[target], BACKGROUND)
        for method, translate in self.translators.items():
            yield method, translate(images[source], target, mask)


def measure_translation(source: Tensor, translated: Tensor, real: Tensor, truth: Tensor) -> dict[str, float]:
    """Return every measure of one translated volume that needs no segmentation network.

    Args:
        source: `(Z, H, W)` in [-1, 1], background exactly -1.
        translated: the same shape and range.
        real: the true target, the same shape and range.
        truth: `(3, Z, H, W)` regions in {0, 1}, order of `TumourRegion`.

    Returns:
        Image quality of brain and whole tumour, tumour error in the enhancing region (`enhancing_mae`),
        `slice_consistency` and `identity_copy`.
    """
    enhancing = truth[list(TumourRegion).index(TumourRegion.ET)]
    return image_quality(real, translated, truth[0]) | {
        "enhancing_mae": region_mae(real, translated, enhancing),
        "slice_consistency": slice_consistency(real, translated),
        "identity_copy": identity_copy_score(source, translated, real),
    }
