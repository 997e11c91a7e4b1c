"""A study's results as lines of text."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import typer

from utad_monai.reports.summary_table import protocol_lines
from utad_monai.study.results import StudyFile, StudyProtocol, outside_intervals
from utad_monai.study.yardsticks import read_study_table, yardstick_lines

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
    typer.echo(f"Protocol ({len(protocol['test_cases'])} cases):")
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
