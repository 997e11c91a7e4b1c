"""A study's results as lines of text."""

from __future__ import annotations

from pathlib import Path

import pandas
import typer

from utad_monai.study.results import StudyProtocol, outside_intervals

_SHOWN = {
    StudyProtocol.TRANSLATION: (
        "ssim",
        "mae",
        "tumour_ssim",
        "tumour_mae",
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


def show_study(results: pandas.DataFrame) -> None:
    """Print the means of the main measures, one table per protocol."""
    for protocol, metrics in _SHOWN.items():
        rows = results[(results["protocol"] == protocol) & results["metric"].isin(metrics)]
        table = rows.pivot(index="method", columns="metric", values="mean")
        typer.echo(f"\n{protocol}")
        typer.echo(table.loc[rows["method"].unique(), list(metrics)].round(3).to_string())


def check_expected(results: Path, expected: Path) -> bool:
    """Compare two result files, say what does not agree, and tell whether everything does."""
    wrong = outside_intervals(pandas.read_csv(results), pandas.read_csv(expected))
    if len(wrong):
        typer.echo(f"{len(wrong)} means lie outside the intervals of {expected}:")
        typer.echo(wrong.to_string(index=False))
    else:
        typer.echo(f"every mean lies within the intervals of {expected}")
    return not len(wrong)
