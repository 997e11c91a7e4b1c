"""The final measurement: every source to every target on the test split, and what it is worth in Dice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import pandas
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, IterationEvents
from torch import Tensor
from tqdm import tqdm

from utad_monai.contrast import TranslationMethod, not_beaten, takes_several
from utad_monai.data.quality.finding import empty_split
from utad_monai.engines.method_quality import QUALITY, SOURCES, evenly_spaced, method_quality, several_sources
from utad_monai.keys import BatchKey, ImageSource, Modality, TumourRegion
from utad_monai.metrics.downstream import DownstreamSegmentation, replace
from utad_monai.runtime.files import write_json
from utad_monai.runtime.tables import write_table

TABLE_FILE = "evaluation.csv"
SUMMARY_FILE = "summary.json"

PAIR_ARROW = "->"
"""Stands between source and target in the names of pairs."""
_FILLS = (ImageSource.REAL, ImageSource.SYNTHESIZED, ImageSource.COPY_SOURCE, ImageSource.ZERO_FILL)


class TranslationEvaluator(Evaluator):
    """Measure image quality and downstream Dice of test cases; write `evaluation.csv` and `summary.json`.

    The table has one row per case, source and target: columns `<method>_<metric>` and `dice_<fill>_<region>`. Pairs
    whose target image a case lacks are not measured; Dice needs all four modalities and is NaN otherwise. A copy of the
    source is always measured beside the methods, and so are the yardsticks that are given. Methods that take several
    sources at once are also measured from every subset of two and three; the summary has the means.

    Args:
        device: where to compute.
        val_data_loader: yields cases of `utad_monai.data.EvaluationCases`, one at a time.
        translators: the methods to measure; `student` also fills modalities for the Dice. None for one that is not
            there, such as the starter of an installation without its weights.
        segmentation: the downstream segmentation network.
        output_dir: folder for the results.
        protocol: plain data that says what was measured how; printed and written beside the numbers.
        val_handlers: handlers with an `attach` method.
        yardsticks: what the methods must beat (`utad_monai.contrast.fit_yardsticks`), by name.
        source_slices: slices of a case, evenly spaced, on which quality by number of sources is measured; 0 for all.

    Raises:
        ValueError: when there is no student among the translators, or no case to measure.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: Iterable[Any],
        translators: Mapping[ImageSource | str, TranslationMethod | None],
        segmentation: DownstreamSegmentation,
        output_dir: str | Path,
        protocol: Mapping[str, Any],
        val_handlers: Sequence[Any] | None = None,
        yardsticks: Mapping[ImageSource | str, TranslationMethod] | None = None,
        source_slices: int = 0,
    ) -> None:
        self.yardsticks = {ImageSource(name): method for name, method in (yardsticks or {}).items()}
        self.translators = {ImageSource(name): method for name, method in translators.items() if method is not None}
        if ImageSource.STUDENT not in self.translators:
            raise ValueError("evaluation needs a student")
        if isinstance(val_data_loader, Sized) and len(val_data_loader) == 0:
            raise empty_split("test case with a segmentation")
        self.segmentation = segmentation
        self.output_dir = Path(output_dir)
        self.protocol = dict(protocol)
        self.source_slices = source_slices
        self.rows: list[dict[str, Any]] = []
        self.source_rows: list[dict[str, Any]] = []
        super().__init__(device=device, val_data_loader=val_data_loader, val_handlers=val_handlers, decollate=False)
        self.add_event_handler(Events.STARTED, self._open)
        self.add_event_handler(Events.COMPLETED, self._write)

    def _open(self, _: Engine) -> None:
        self.rows.clear()
        self.source_rows.clear()
        self._bar = tqdm(total=self.state.epoch_length, desc="Evaluating", unit="case")

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Measure one case and return its rows under `rows`."""
        images, truth = batchdata[BatchKey.IMAGE], batchdata[BatchKey.LABEL]
        fixed = self._fixed_dice(images, truth)
        rows = []
        for source in images:
            for target in images:
                if source != target:
                    names = {"case": batchdata[BatchKey.CASE_ID], "source": str(source), "target": str(target)}
                    rows.append(names | self._pair(images, source, target, truth) | fixed[target])
        self.rows.extend(rows)
        self.source_rows.extend(self._several_sources(images, truth[0]))
        self._bar.update()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return {"rows": rows}

    def _several_sources(self, images: Mapping[Modality, Tensor], mask: Tensor) -> Iterator[dict[str, Any]]:
        """Return the rows of several sources; of one too, where not all slices are measured, which pairs are."""
        if not self.source_slices:
            return several_sources(self._methods, images, mask)
        chosen = evenly_spaced(images, self.source_slices)
        thinned = {modality: image[chosen] for modality, image in images.items()}
        return several_sources(self._methods, thinned, mask[chosen], least=1)

    def _pair(
        self, images: Mapping[Modality, Tensor], source: Modality, target: Modality, truth: Tensor
    ) -> dict[str, float]:
        """Return image quality and Dice of one source and target."""
        mask = truth[0]
        made = {name: translate({source: images[source]}, target, mask) for name, translate in self.translators.items()}
        made[ImageSource.COPY_SOURCE] = images[source]
        made |= {name: method({source: images[source]}, target, mask) for name, method in self.yardsticks.items()}
        row = method_quality({str(name): image for name, image in made.items()}, images[target], mask)
        fills = {ImageSource.SYNTHESIZED: made[ImageSource.STUDENT], ImageSource.COPY_SOURCE: images[source]}
        for fill, image in fills.items():
            row |= self._dice(images, target, image, fill, truth)
        return row

    def _fixed_dice(self, images: Mapping[Modality, Tensor], truth: Tensor) -> dict[Modality, dict[str, float]]:
        """Return the Dice that does not depend on the source: nothing replaced, and each target zero-filled."""
        real = self._dice(images, None, None, ImageSource.REAL, truth)
        return {target: real | self._dice(images, target, None, ImageSource.ZERO_FILL, truth) for target in images}

    def _dice(
        self,
        images: Mapping[Modality, Tensor],
        target: Modality | None,
        substitute: Tensor | None,
        fill: ImageSource,
        truth: Tensor,
    ) -> dict[str, float]:
        if len(images) < len(Modality):
            return {f"dice_{fill}_{region}": math.nan for region in TumourRegion}
        filled = images if target is None else replace(images, target, substitute)
        return {f"dice_{fill}_{region}": value for region, value in self.segmentation.dice(filled, truth).items()}

    def _write(self, _: Engine) -> None:
        self._bar.close()
        write_table(self.output_dir / TABLE_FILE, pandas.DataFrame(self.rows))
        write_json(self.output_dir / SUMMARY_FILE, self.summary())

    def summary(self) -> dict[str, Any]:
        """Return the means over cases, of all pairs, of each and by number of sources, as plain data (NaN is None).

        `below_contrast_map` names the measures in which a method is no better than the unpaired contrast map.
        """
        table = pandas.DataFrame(self.rows)
        quality = self._quality(table)
        return {
            "protocol": self.protocol,
            "image_quality": quality,
            "image_quality_by_pair": {
                f"{source}{PAIR_ARROW}{target}": self._quality(rows)
                for (source, target), rows in (table.groupby(["source", "target"], sort=False) if len(table) else ())
            },
            "image_quality_by_sources": self._by_sources(table),
            "below_contrast_map": self._below_contrast_map(quality),
            "dice": {
                str(fill): {str(region): _mean(table, f"dice_{fill}_{region}") for region in TumourRegion}
                for fill in _FILLS
            },
            "cases": int(table["case"].nunique()) if len(table) else 0,
        }

    def _quality(self, table: pandas.DataFrame) -> dict[str, dict[str, float | None]]:
        """Return the mean of every measure over the rows, by method."""
        methods = (*self.translators, ImageSource.COPY_SOURCE, *self.yardsticks)
        return _quality_of(table, methods)

    @property
    def _methods(self) -> dict[str, TranslationMethod]:
        """Everything that translates, by name."""
        return {str(name): method for name, method in {**self.translators, **self.yardsticks}.items()}

    def _by_sources(self, table: pandas.DataFrame) -> dict[str, dict[str, dict[str, float | None]]]:
        """Return the means of the methods that take several sources, by the number that they were given."""
        several = [name for name, method in self._methods.items() if takes_several(method)]
        if not several or not len(table):
            return {}
        more = pandas.DataFrame(self.source_rows)
        pairs = {} if self.source_slices else {"1": table}
        found = pairs | ({str(count): rows for count, rows in more.groupby(SOURCES)} if len(more) else {})
        return {count: _quality_of(rows, several) for count, rows in found.items()}

    def _below_contrast_map(self, quality: Mapping[str, Mapping[str, float | None]]) -> dict[str, list[str]]:
        if ImageSource.CONTRAST_MAP not in self.yardsticks:
            return {}
        judged = {str(name): not_beaten(quality[name], quality[ImageSource.CONTRAST_MAP]) for name in self.translators}
        return {name: measures for name, measures in judged.items() if measures}


def _quality_of(table: pandas.DataFrame, methods: Iterable[str]) -> dict[str, dict[str, float | None]]:
    return {str(method): {metric: _mean(table, f"{method}_{metric}") for metric in QUALITY} for method in methods}


def _mean(table: pandas.DataFrame, column: str) -> float | None:
    """Return the mean of a column without its NaNs; None when nothing is left."""
    mean = float(table[column].mean()) if column in table else math.nan
    return None if math.isnan(mean) else round(mean, 6)
