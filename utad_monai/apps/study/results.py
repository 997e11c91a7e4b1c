"""The tables of a study: means with intervals, tests against the reference, and whether a repetition agrees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch

from utad_monai.engines.study_evaluator import StudyMeasurements
from utad_monai.keys import ImageSource, Modality, TumourRegion
from utad_monai.metrics.distribution import frechet_distance, kernel_distance
from utad_monai.metrics.statistics import compare, estimate
from utad_monai.runtime.tables import write_table


class StudyFile(StrEnum):
    """Result files of a study, in its output folder."""

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


_QUALITY = ("ssim", "psnr", "nmse", "mae")
_OVERLAP = tuple(f"{measure}_{region}" for measure in ("dice", "hd95") for region in TumourRegion)
METRICS = (
    *_QUALITY,
    "ms_ssim",
    *(f"tumour_{name}" for name in _QUALITY),
    *(f"enhancing_{name}" for name in _QUALITY),
    "tissue_order",
    "tissue_contrast",
    "slice_consistency",
    "identity_copy",
    *_OVERLAP,
    *(f"volume_change_{region}" for region in TumourRegion),
    *(f"s_score_{region}" for region in TumourRegion),
)
"""Measures of the protocol `translation`; those of the enhancing tumour count translations to T1ce only."""
DIGITS = "%.6g"
"""How measured values are written: six significant digits."""


def write_tables(measurements: StudyMeasurements, output: Path) -> dict[StudyFile, pandas.DataFrame]:
    """Write every measured value, one file per protocol, and return the tables."""
    tables = {
        StudyFile.PAIRS: pandas.DataFrame(measurements.pairs),
        StudyFile.SUBSETS: pandas.DataFrame(measurements.subsets),
        StudyFile.AUGMENTATION: pandas.DataFrame(measurements.augmentation),
        StudyFile.DISTRIBUTION: pandas.DataFrame(list(_distribution(measurements))),
    }
    for name, table in tables.items():
        write_table(output / name, table, DIGITS)
    return tables


def _distribution(measurements: StudyMeasurements) -> Iterator[dict[str, Any]]:
    features = {key: torch.cat(found) for key, found in measurements.features.items()}
    for (method, target), fakes in features.items():
        if method != ImageSource.REAL:
            reals = features[str(ImageSource.REAL), target]
            distances = {"fid": frechet_distance(fakes, reals), "kid": kernel_distance(fakes, reals)}
            yield {"target": str(target), "method": method, "slices": len(fakes)} | distances


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
    for metric in ("fid", "kid"):
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
