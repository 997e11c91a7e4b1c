"""What the report shows of a study: result tables, comparisons, methods and figures."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas
import typer

from utad_monai.apps.report.conclusions import gaps_conclusions, study_conclusion
from utad_monai.apps.report.page import protocol_lines
from utad_monai.apps.report.study_figures import CAPTIONS_FILE, FIGURES_DIR
from utad_monai.apps.study.measuring import read_study_table, yardstick_lines
from utad_monai.apps.study.results import StudyFile, StudyProtocol, outside_intervals
from utad_monai.engines.measurements import Measurement
from utad_monai.engines.routes import gap_summary
from utad_monai.runtime.console import counted

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
    gaps, reference = _gaps(output / StudyFile.MEASUREMENTS), protocol["reference"]
    tables = [_table(results, *table) for table in _TABLES]
    return {
        "gaps": gaps,
        "said": {"tables": [study_conclusion(table, reference) for table in tables], "gaps": gaps_conclusions(gaps)},
        "reference": reference,
        "yardsticks": yardstick_lines(results, protocol),
        "methods": protocol.pop("methods"),
        "protocol": protocol,
        "tables": tables,
        "comparisons": list(_comparisons(results)),
        "figures": list(_figures(output / FIGURES_DIR)),
    }


def _gaps(path: Path) -> dict[str, Any]:
    """Return what is known of missing modalities; empty for a study of an earlier version."""
    if not path.is_file():
        return {}
    measured = read_study_table(path).fillna({"case": "", "source": "", "target": ""})
    return gap_summary(map(Measurement._make, measured.itertuples(index=False)))


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


_SHOWN = {
    StudyProtocol.TRANSLATION: (
        "ssim",
        "mae",
        "tumour_ssim",
        "tumour_mae",
        "tissue_order",
        "tissue_contrast",
        "dice_WT",
        "dice_TC",
        "dice_ET",
        "s_score_WT",
    ),
    StudyProtocol.MISSING: ("dice_WT", "dice_TC", "dice_ET"),
    StudyProtocol.AUGMENTATION: ("dice_WT", "dice_TC", "dice_ET"),
    StudyProtocol.DISTRIBUTION: ("fid", "kid"),
}
"""The measures that fit on a screen; the files have all of them."""


def show_study(results: pandas.DataFrame, output: Path) -> None:
    """Print the protocol and the means of the main measures, one table per question, and where the rest is.

    Args:
        results: the result table.
        output: folder of the study.
    """
    protocol = json.loads((output / StudyFile.PROTOCOL).read_text(encoding="utf-8"))
    typer.echo(f"Protocol ({counted(len(protocol['test_cases']), 'case')}):")
    for line in protocol_lines(protocol):
        typer.echo(line)
    for question, metrics in _SHOWN.items():
        rows = results[(results["protocol"] == question) & results["metric"].isin(metrics)]
        table = rows.pivot(index="method", columns="metric", values="mean")
        typer.echo(f"\n{question}")
        typer.echo(table.loc[rows["method"].unique(), list(metrics)].round(3).to_string())
        if question is StudyProtocol.TRANSLATION:
            for line in yardstick_lines(results, protocol):
                typer.echo(f"  {line}")
    typer.echo(f"written: {output / StudyFile.RESULTS} (with intervals and tests)")


def check_expected(results: Path, expected: Path) -> bool:
    """Compare two result files, say what does not agree, and tell whether everything does."""
    wrong = outside_intervals(read_study_table(results), read_study_table(expected))
    if len(wrong):
        typer.echo(f"{len(wrong)} means lie outside the intervals of {expected}:")
        typer.echo(wrong.to_string(index=False))
    else:
        typer.echo(f"every mean lies within the intervals of {expected}")
    return not len(wrong)
