from __future__ import annotations

import math
from typing import Any

import pandas
import pytest

from utad_monai.apps.study.measuring import paired_methods, yardstick_lines

PROTOCOL: dict[str, Any] = {
    "methods": {"student": {"note": "complete"}, "bound": {"note": "USES PAIRED TARGETS: a bound"}}
}
MEANS = {
    "student": (0.50, 0.30, 0.20),
    "bound": (0.60, 0.35, 0.25),
    "flat_brain": (0.40, 0.20, 0.19),
    "contrast_map": (0.45, 0.32, 0.21),
    "paired_contrast_map": (0.55, 0.33, 0.18),
}


@pytest.fixture
def results() -> pandas.DataFrame:
    return table(MEANS)


def table(means: dict[str, tuple[float, ...]]) -> pandas.DataFrame:
    metrics = ("ssim", "tumour_ssim", "tumour_mae")
    rows = [(method, *pair) for method, values in means.items() for pair in zip(metrics, values, strict=True)]
    return pandas.DataFrame(rows, columns=["method", "metric", "mean"]).assign(protocol="translation")


def test_methods_that_use_pairs_are_known_by_their_note_and_the_paired_map_is_one() -> None:
    assert paired_methods(PROTOCOL) == ["bound", "paired_contrast_map"]


def test_the_upper_bound_is_the_best_paired_row_of_each_measure(results: pandas.DataFrame) -> None:
    assert yardstick_lines(results, PROTOCOL)[0].endswith(
        "ssim 0.600 (bound), tumour_ssim 0.350 (bound), tumour_mae 0.180 (paired_contrast_map)"
    )


def test_a_method_is_judged_by_the_map_of_its_kind(results: pandas.DataFrame) -> None:
    assert yardstick_lines(results, PROTOCOL)[1:] == [
        "student is no better than its contrast map in tumour_ssim",
        "bound is no better than its contrast map in tumour_mae",
    ]


def test_a_method_that_beats_its_map_is_not_mentioned() -> None:
    lines = yardstick_lines(table(MEANS | {"student": (0.9, 0.9, 0.01)}), PROTOCOL)
    assert not any(line.startswith("student") for line in lines)


def test_starter_is_judged_though_the_study_did_not_train_it() -> None:
    lines = yardstick_lines(table(MEANS | {"starter": (0.44, 0.9, 0.01)}), PROTOCOL)
    assert "starter is no better than its contrast map in ssim" in lines


def test_what_was_not_measured_is_not_judged() -> None:
    lines = yardstick_lines(table(MEANS | {"student": (0.9, math.nan, 0.01)}), PROTOCOL)
    assert not any(line.startswith("student") for line in lines)


def test_a_study_of_an_earlier_version_has_no_map_to_be_judged_by() -> None:
    lines = yardstick_lines(table({"student": (0.1, 0.1, 0.9), "bound": MEANS["bound"]}), PROTOCOL)
    assert lines == [
        "upper bound, the best of the rows that use pairs: "
        "ssim 0.600 (bound), tumour_ssim 0.350 (bound), tumour_mae 0.250 (bound)"
    ]
