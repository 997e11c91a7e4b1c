"""What the report shows of a study: result tables, comparisons, methods and figures."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas

from utad_monai.reports.study_figures import CAPTIONS_FILE, FIGURES_DIR
from utad_monai.study.results import StudyFile, StudyProtocol
from utad_monai.study.yardsticks import read_study_table, yardstick_lines

SIGNIFICANT = 0.05
"""Corrected p-values below it are marked."""
_TABLES = (
    (
        StudyProtocol.TRANSLATION,
        "Whole brain, mean over sources and targets",
        (
            *("ssim", "ms_ssim", "psnr", "nmse", "mae"),
            *("tissue_order", "tissue_contrast", "slice_consistency", "identity_copy"),
        ),
    ),
    (
        StudyProtocol.TRANSLATION,
        "Tumour; enhancing_* in translations to t1ce only",
        ("tumour_ssim", "tumour_psnr", "tumour_nmse", "tumour_mae", "enhancing_ssim", "enhancing_mae"),
    ),
    (
        StudyProtocol.TRANSLATION,
        "Segmentation with one modality replaced: Dice, HD95 in mm, relative change of volume",
        ("dice_WT", "dice_TC", "dice_ET", "hd95_WT", "hd95_TC", "hd95_ET", "volume_change_WT"),
    ),
    (
        StudyProtocol.TRANSLATION,
        "S-score: Dice of a network that sees the translation alone",
        ("s_score_WT", "s_score_TC", "s_score_ET"),
    ),
    (
        StudyProtocol.MISSING,
        "Segmentation with every subset of missing modalities replaced",
        ("dice_WT", "dice_TC", "dice_ET", "hd95_WT", "hd95_TC", "hd95_ET"),
    ),
    (
        StudyProtocol.AUGMENTATION,
        "Segmentation network trained with synthetic images added, tested on real ones",
        ("dice_WT", "dice_TC", "dice_ET", "hd95_WT", "hd95_TC", "hd95_ET"),
    ),
    (StudyProtocol.DISTRIBUTION, "Distance of the sets of images, mean over targets", ("fid", "kid")),
)


def study_section(output: Path) -> dict[str, Any] | None:
    """Return what the template shows of a study; None when the folder holds none."""
    if not (output / StudyFile.RESULTS).is_file():
        return None
    results = read_study_table(output / StudyFile.RESULTS)
    protocol = json.loads((output / StudyFile.PROTOCOL).read_text(encoding="utf-8"))
    return {
        "reference": protocol["reference"],
        "yardsticks": yardstick_lines(results, protocol),
        "methods": protocol.pop("methods"),
        "protocol": protocol,
        "tables": [_table(results, *table) for table in _TABLES],
        "comparisons": list(_comparisons(results)),
        "figures": list(_figures(output / FIGURES_DIR)),
    }


def _table(
    results: pandas.DataFrame, protocol: StudyProtocol, caption: str, metrics: tuple[str, ...]
) -> dict[str, Any]:
    rows = results[(results["protocol"] == protocol) & results["metric"].isin(metrics)]
    measured = [metric for metric in metrics if metric in set(rows["metric"])]  # earlier versions measured less
    known = rows.set_index(["method", "metric"])
    return {
        "caption": caption,
        "metrics": measured,
        "rows": [
            {"method": method, "cells": [_cell(known.loc[(method, metric)]) for metric in measured]}
            for method in rows["method"].unique()
        ],
    }


def _cell(row: Any) -> dict[str, Any]:
    return {
        "mean": _number(row["mean"]),
        "low": _number(row["low"]),
        "high": _number(row["high"]),
        "significant": bool(row["p_holm"] < SIGNIFICANT),
    }


def _comparisons(results: pandas.DataFrame) -> Iterator[dict[str, Any]]:
    columns = ["protocol", "metric", "method", "difference", "difference_low", "difference_high"]
    columns += ["p_value", "p_holm", "effect", "pairs"]
    compared = results.dropna(subset=["reference"])
    for row in compared[columns].itertuples(index=False):
        named = dict(zip(columns, row, strict=True))
        yield {name: _number(value) if isinstance(value, float) else value for name, value in named.items()}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _figures(folder: Path) -> Iterator[dict[str, str]]:
    captions = folder / CAPTIONS_FILE
    if captions.is_file():
        for name, caption in json.loads(captions.read_text(encoding="utf-8")).items():
            encoded = base64.b64encode((folder / name).read_bytes()).decode()
            yield {"caption": caption, "uri": f"data:image/png;base64,{encoded}"}
