"""Views of an evaluation's long table: `evaluation.csv`, a row per case, source and target, and `summary.json`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import pandas

from utad_monai.contrast import not_beaten
from utad_monai.engines.measurements import SEPARATOR, Measurement, column_of, wide_table
from utad_monai.engines.method_on_case import of_slices
from utad_monai.keys import ImageSource, TumourRegion

TABLE_FILE = "evaluation.csv"
SUMMARY_FILE = "summary.json"

PAIR_ARROW = "->"
"""Stands between source and target in the names of pairs."""
QUALITY = (
    *("ssim", "psnr", "nmse", "mae"),
    *("tumour_ssim", "tumour_psnr", "tumour_nmse", "tumour_mae"),
    *("tissue_order", "tissue_contrast"),
)
"""What both files say of the images of every method."""
FILLS = {
    ImageSource.REAL: ImageSource.REAL,
    ImageSource.STUDENT: ImageSource.SYNTHESIZED,
    ImageSource.COPY_SOURCE: ImageSource.COPY_SOURCE,
    ImageSource.ZERO_FILL: ImageSource.ZERO_FILL,
}
"""The methods of which both files have the Dice, and what they call it."""
_DICE_COLUMNS = tuple(
    f"dice_{fill}_{region}"
    for fill in (ImageSource.SYNTHESIZED, ImageSource.COPY_SOURCE, ImageSource.REAL, ImageSource.ZERO_FILL)
    for region in TumourRegion
)
_NAMES = ("case", "source", "target")


@dataclass(frozen=True)
class EvaluationViews:
    """What both files show.

    Attributes:
        rows: the long table.
        translators: names of the methods.
        yardsticks: names of what they must beat.
        several: names of those that take several sources at once.
        slices: how many slices of a case were measured by number of sources; 0 for all.
    """

    rows: Sequence[Measurement]
    translators: Sequence[ImageSource]
    _: KW_ONLY
    yardsticks: Sequence[ImageSource]
    several: Sequence[str]
    slices: int = 0

    def table(self) -> pandas.DataFrame:
        """Return `<method>_<measure>` and `dice_<fill>_<region>` of every case, source and target."""
        chosen = of_slices(self.slices)
        pairs = [
            row for row in self.rows if SEPARATOR not in row.source and not (chosen and row.region.endswith(chosen))
        ]
        return wide_table(pairs, _NAMES, [*_quality_columns(self._methods), *_DICE_COLUMNS], _column)

    def summary(self) -> dict[str, Any]:
        """Return the means over cases, of all pairs, of each and by number of sources, as plain data (NaN is None).

        `below_contrast_map` names the measures in which a method is no better than the unpaired contrast map.
        """
        table = self.table()
        quality = _means(table, self._methods)
        return {
            "image_quality": quality,
            "image_quality_by_pair": {
                f"{source}{PAIR_ARROW}{target}": _means(rows, self._methods)
                for (source, target), rows in table.groupby(["source", "target"], sort=False)
            },
            "image_quality_by_sources": self._by_sources(),
            "below_contrast_map": self._below_contrast_map(quality),
            "dice": {
                str(fill): {str(region): _mean(table, f"dice_{fill}_{region}") for region in TumourRegion}
                for fill in FILLS.values()
            },
            "cases": int(table["case"].nunique()),
        }

    @property
    def _methods(self) -> tuple[str, ...]:
        return (*self.translators, ImageSource.COPY_SOURCE, *self.yardsticks)

    def _by_sources(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Return the means of the methods that take several sources, by the number that they were given."""
        chosen = of_slices(self.slices)
        rows = [
            row._replace(region=row.region.removesuffix(chosen))
            for row in self.rows
            if row.method in self.several and row.region.endswith(chosen)
        ]
        table = wide_table(rows, _NAMES, _quality_columns(self.several), _column)
        counts = table["source"].map(lambda sources: 1 + sources.count(SEPARATOR))
        return {str(count): _means(found, self.several) for count, found in table.groupby(counts)}

    def _below_contrast_map(self, quality: dict[str, dict[str, float | None]]) -> dict[str, list[str]]:
        if ImageSource.CONTRAST_MAP not in self.yardsticks:
            return {}
        judged = {str(name): not_beaten(quality[name], quality[ImageSource.CONTRAST_MAP]) for name in self.translators}
        return {name: measures for name, measures in judged.items() if measures}


def _column(row: Measurement) -> str:
    is_dice = row.measure == "dice"
    return f"dice_{FILLS[ImageSource(row.method)]}_{row.region}" if is_dice else f"{row.method}_{column_of(row)}"


def _quality_columns(methods: Iterable[str]) -> list[str]:
    return [f"{method}_{measure}" for method in methods for measure in QUALITY]


def _means(table: pandas.DataFrame, methods: Iterable[str]) -> dict[str, dict[str, float | None]]:
    return {str(method): {measure: _mean(table, f"{method}_{measure}") for measure in QUALITY} for method in methods}


def _mean(table: pandas.DataFrame, column: str) -> float | None:
    """Return the mean of a column without its NaNs; None when nothing is left."""
    mean = float(table[column].mean())
    return None if math.isnan(mean) else round(mean, 6)
