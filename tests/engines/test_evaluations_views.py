"""Views of the long table: what each leaves out, and what they say when there is nothing to say."""

from __future__ import annotations

import math

from utad_monai.engines.evaluations import EvaluationViews
from utad_monai.engines.measurements import Measurement
from utad_monai.keys import ImageSource

STUDENT, MAP = ImageSource.STUDENT, ImageSource.CONTRAST_MAP
ROWS = [
    Measurement("a", "t1", "t2", "student", "brain", "mae", 0.2),
    Measurement("a", "t1", "t2", "student", "WT", "dice", 0.5),
    Measurement("a", "t1", "t2", "student", "WT", "hd95", 3.0),
    Measurement("a", "t1", "t2", "contrast_map", "brain", "mae", 0.4),
    Measurement("a", "t1", "t2", "contrast_map", "brain of 2 slices", "mae", 0.6),
    Measurement("a", "t1+flair", "t2", "contrast_map", "brain of 2 slices", "mae", 0.1),
]


def test_table_shows_pairs_on_all_slices_alone() -> None:
    table = EvaluationViews(ROWS, [STUDENT], yardsticks=[MAP], several=["contrast_map"], slices=2).table()
    assert len(table) == 1
    row = table.iloc[0]
    assert (row["student_mae"], row["contrast_map_mae"], row["dice_synthesized_WT"]) == (0.2, 0.4, 0.5)
    assert math.isnan(row["dice_real_WT"])
    assert not any("hd95" in name for name in table)


def test_summary_by_number_of_sources_is_of_the_chosen_slices() -> None:
    summary = EvaluationViews(ROWS, [STUDENT], yardsticks=[MAP], several=["contrast_map"], slices=2).summary()
    by_sources = summary["image_quality_by_sources"]
    assert {count: quality["contrast_map"]["mae"] for count, quality in by_sources.items()} == {"1": 0.6, "2": 0.1}
    assert summary["image_quality"]["contrast_map"]["mae"] == 0.4
    assert summary["dice"]["synthesized"] == {"WT": 0.5, "TC": None, "ET": None}


def test_without_chosen_slices_one_source_is_the_pair() -> None:
    rows = [row for row in ROWS if row.region != "brain of 2 slices"]
    rows.append(Measurement("a", "t1+flair", "t2", "contrast_map", "brain", "mae", 0.1))
    summary = EvaluationViews(rows, [STUDENT], yardsticks=[MAP], several=["contrast_map"]).summary()
    by_sources = summary["image_quality_by_sources"]
    assert {count: quality["contrast_map"]["mae"] for count, quality in by_sources.items()} == {"1": 0.4, "2": 0.1}


def test_nothing_measured_is_a_table_without_rows_and_a_summary_without_numbers() -> None:
    views = EvaluationViews([], [STUDENT], yardsticks=[MAP], several=["contrast_map"])
    summary = views.summary()
    assert list(views.table().columns[:4]) == ["case", "source", "target", "student_ssim"]
    assert (len(views.table()), summary["cases"], summary["image_quality_by_pair"]) == (0, 0, {})
    assert summary["image_quality_by_sources"] == summary["below_contrast_map"] == {}
    assert summary["image_quality"]["student"]["ssim"] is None
