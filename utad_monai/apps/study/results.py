"""The tables of a study: means with intervals, tests against the reference, and whether a repetition agrees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from utad_monai.engines.measurements import SEPARATOR, Measurement, Measurements, long_table, wide_table
from utad_monai.keys import ImageSource, Modality, TumourRegion
from utad_monai.metrics.statistics import compare, estimate
from utad_monai.runtime.files import write_table


class StudyFile(StrEnum):
    """Result files of a study, in its output folder."""

    MEASUREMENTS = "study_measurements.csv"
    """The long table: one row per measured value; the next four are views of it."""
    PAIRS = "study_pairs.csv"
    """One row per case, source, target and method."""
    SUBSETS = "study_subsets.csv"
    """One row per case, set of available modalities and method."""
    AUGMENTATION = "study_augmentation.csv"
    """One row per case and training of the segmentation network."""
    DISTRIBUTION = "study_distribution.csv"
    """One row per target and method: FID and KID."""
    RESULTS = "study_results.csv"
    """One row per protocol, metric and method: mean, interval, comparison."""
    PROTOCOL = "study_protocol.json"
    """What was measured how."""


class StudyProtocol(StrEnum):
    """What a row of the result table is about."""

    TRANSLATION = "translation"
    """Images of every source and target, and the segmentation with one modality replaced."""
    MISSING = "missing"
    """The segmentation with every subset of missing modalities replaced."""
    AUGMENTATION = "augmentation"
    """The segmentation network trained with synthetic images added, on real test images."""
    DISTRIBUTION = "distribution"
    """Sets of images; no interval, no test."""


_BRAIN = ("ssim", "psnr", "nmse", "mae")
_TUMOUR = tuple(f"tumour_{name}" for name in _BRAIN)
_ENHANCING = tuple(f"enhancing_{name}" for name in _BRAIN)
_TISSUES = ("tissue_order", "tissue_contrast")
_OVERLAP = tuple(f"{measure}_{region}" for measure in ("dice", "hd95") for region in TumourRegion)
_SEGMENTED = (
    *_OVERLAP,
    *(f"{measure}_{region}" for measure in ("volume_change", "s_score") for region in TumourRegion),
)
_SETS = ("fid", "kid")
METRICS = (
    *(*_BRAIN, "ms_ssim", *_TUMOUR, *_ENHANCING),
    *(*_TISSUES, "slice_consistency", "identity_copy", *_SEGMENTED),
)
"""Measures of the protocol `translation`; those of the enhancing tumour count translations to T1ce only."""
_PAIR_COLUMNS = (
    *(*_BRAIN, *_TUMOUR, *_ENHANCING, "ms_ssim"),
    *("slice_consistency", *_TISSUES, "identity_copy", *_SEGMENTED),
)
"""The same, in the order of the file."""
DIGITS = "%.6g"
"""How measured values are written: six significant digits."""


def write_tables(measurements: Measurements, output: Path) -> dict[StudyFile, pandas.DataFrame]:
    """Write every measured value, as the long table and one file per protocol, and return the tables."""
    rows = [*measurements.rows, *measurements.of_sets()]
    tables = {StudyFile.MEASUREMENTS: long_table(rows)} | study_views(rows)
    for name, table in tables.items():
        write_table(output / name, table, DIGITS)
    return tables


def study_views(rows: Sequence[Measurement]) -> dict[StudyFile, pandas.DataFrame]:
    """Return the tables of the protocols, which are views of the long table."""
    cases = [row for row in rows if row.case]
    made = [row for row in cases if row.target]
    pairs = [row for row in made if SEPARATOR not in row.source + row.target]
    missing = [row for row in made if SEPARATOR in row.source + row.target]
    sets = wide_table([row for row in rows if not row.case], ("target", "method"), ("slices", *_SETS))
    return {
        StudyFile.PAIRS: wide_table(pairs, ("case", "source", "target", "method"), _PAIR_COLUMNS),
        StudyFile.SUBSETS: wide_table(missing, ("case", "source", "method"), _OVERLAP).rename(
            columns={"source": "available"}
        ),
        StudyFile.AUGMENTATION: wide_table([row for row in cases if not row.target], ("case", "method"), _OVERLAP),
        StudyFile.DISTRIBUTION: sets.astype({"slices": int}),
    }


def summarise(tables: dict[StudyFile, pandas.DataFrame], reference: str) -> pandas.DataFrame:
    """Return one row per protocol, metric and method: mean with interval, and the comparison with the reference.

    Values are first averaged over sources, targets and subsets, so that a case counts once.

    Args:
        tables: the tables of `write_tables`.
        reference: the method that all others are compared with.
    """
    pairs = tables[StudyFile.PAIRS].copy()
    enhancing = [name for name in pairs if str(name).startswith("enhancing_")]
    pairs.loc[pairs["target"] != Modality.T1CE, enhancing] = np.nan
    missing = tables[StudyFile.SUBSETS]
    rows = [
        *_compared(StudyProtocol.TRANSLATION, pairs, METRICS, reference),
        *_compared(StudyProtocol.MISSING, missing, _OVERLAP, reference),
        *_compared(
            StudyProtocol.AUGMENTATION, tables[StudyFile.AUGMENTATION], _OVERLAP, ImageSource.REAL_AND_SYNTHETIC
        ),
        *_means(tables[StudyFile.DISTRIBUTION]),
    ]
    return pandas.DataFrame(rows)


def _compared(
    protocol: StudyProtocol, table: pandas.DataFrame, metrics: Sequence[str], reference: str
) -> Iterator[dict[str, Any]]:
    for metric in metrics:
        per_case = table.pivot_table(index="case", columns="method", values=metric, aggfunc="mean", dropna=False)
        per_case = per_case[table["method"].unique()]  # in the order of the plan
        is_bound = protocol is not StudyProtocol.AUGMENTATION
        compared = compare(per_case.drop(columns=[ImageSource.REAL] if is_bound else [], errors="ignore"), reference)
        for method in per_case.columns:
            row = {"protocol": str(protocol), "metric": metric, "method": method}
            row |= asdict(estimate(per_case[method].to_list()))
            yield row | (asdict(compared[method]) | {"reference": reference} if method in compared else {})


def _means(distribution: pandas.DataFrame) -> Iterator[dict[str, Any]]:
    """Return the means over targets, which carry no interval: sets of images are no cases."""
    for metric in _SETS:
        for method, mean in distribution.groupby("method", sort=False)[metric].mean().items():
            yield {"protocol": str(StudyProtocol.DISTRIBUTION), "metric": metric, "method": method, "mean": mean}


def outside_intervals(results: pandas.DataFrame, expected: pandas.DataFrame) -> pandas.DataFrame:
    """Return the rows whose mean lies outside the interval of an expected result table.

    Args:
        results: a result table.
        expected: the table of an earlier run; rows without interval are not compared.

    Returns:
        Protocol, metric, method, mean, and the expected low and high of each row that does not agree; a row that is
        missing in the results has the mean NaN.
    """
    keys = ["protocol", "metric", "method"]
    wanted = expected.dropna(subset=["low", "high"])[[*keys, "low", "high"]]
    both = wanted.merge(results[[*keys, "mean"]], on=keys, how="left")
    agrees = (both["mean"] >= both["low"]) & (both["mean"] <= both["high"])
    return both.loc[~agrees, [*keys, "mean", "low", "high"]]
