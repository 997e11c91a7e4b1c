"""What a study's results say against its yardsticks: the upper bound, and methods no better than a contrast map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas

from utad_monai.apps.study.results import StudyProtocol
from utad_monai.contrast import not_beaten
from utad_monai.keys import ImageSource, TumourRegion
from utad_monai.metrics.measures import BRAIN, HIGHER_IS_BETTER, column
from utad_monai.runtime.tables import read_table

Quality = dict[str, float | None]
PAIRED_NOTE = "PAIRED"
"""The note of a method that was trained on pairs says so with this word."""
_EARLIER_NAMES = {"mean_fill": str(ImageSource.FLAT_BRAIN)}
_BOUNDED = (
    *(("ssim", BRAIN), ("mae", BRAIN), ("ssim", TumourRegion.WT), ("mae", TumourRegion.WT)),
    *(("dice", region) for region in TumourRegion),
    ("s_score", TumourRegion.WT),
)
"""Measures that the upper bound is told of, and where."""


def read_study_table(path: str | Path) -> pandas.DataFrame:
    """Read a table of a study; methods that had another name in an earlier version are given today's.

    Raises:
        ValueError: when it is no table.
        OSError: when it cannot be read.
    """
    table = read_table(path)
    return table.assign(method=table["method"].replace(_EARLIER_NAMES)) if "method" in table else table


def paired_methods(protocol: Mapping[str, Any]) -> list[str]:
    """Return the names of the methods that use pairs, by a study's protocol."""
    trained = [name for name, method in protocol["methods"].items() if PAIRED_NOTE in method["note"]]
    return [*trained, str(ImageSource.PAIRED_CONTRAST_MAP)]


def yardstick_lines(results: pandas.DataFrame, protocol: Mapping[str, Any]) -> list[str]:
    """Return what must be said beside a study's table of translations, one line each.

    Args:
        results: the result table.
        protocol: the study's protocol.
    """
    means = _means(results)
    paired = {name: means[name] for name in paired_methods(protocol) if name in means}
    lines = [_upper_bound_line(paired)] if paired else []
    for method in (str(ImageSource.STARTER), *protocol["methods"]):
        yardstick = str(ImageSource.PAIRED_CONTRAST_MAP if method in paired else ImageSource.CONTRAST_MAP)
        measures = not_beaten(means.get(method, {}), means.get(yardstick, {}))
        if measures:
            lines.append(f"{method} is no better than its contrast map in {', '.join(measures)}")
    return lines


def _means(results: pandas.DataFrame) -> dict[str, Quality]:
    """Return the means of the protocol `translation` by method and measure; None for what could not be measured."""
    rows = results[results["protocol"] == StudyProtocol.TRANSLATION]
    means: dict[str, Quality] = {str(method): {} for method in rows["method"]}
    for method, metric, mean in rows[["method", "metric", "mean"]].itertuples(index=False):
        means[method][metric] = None if pandas.isna(mean) else float(mean)
    return means


def _upper_bound_line(paired: Mapping[str, Quality]) -> str:
    bounds = []
    for measure, region in _BOUNDED:
        metric = column(measure, region)
        known = {method: value for method, quality in paired.items() if (value := quality.get(metric)) is not None}
        if known:
            best = (max if HIGHER_IS_BETTER[measure] else min)(known, key=lambda method: known[method])
            bounds.append(f"{metric} {known[best]:.3f} ({best})")
    return f"upper bound, the best of the rows that use pairs: {', '.join(bounds)}"
