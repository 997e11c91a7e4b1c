from __future__ import annotations

import math

import numpy as np
import pandas
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from utad_monai.metrics.statistics import compare, estimate, holm, rank_biserial

DRAW = np.random.default_rng(0)


def test_the_interval_holds_the_mean_and_narrows_with_more_cases() -> None:
    few, many = estimate(DRAW.normal(5, 1, 8)), estimate(DRAW.normal(5, 1, 200))
    assert few.low < few.mean < few.high
    assert many.high - many.low < few.high - few.low


def test_missing_values_are_left_out_and_counted() -> None:
    result = estimate([1.0, math.nan, 3.0])
    assert (result.mean, result.cases) == (2.0, 2)


def test_degenerate_samples_have_defined_estimates() -> None:
    assert math.isnan(estimate([]).mean)
    one = estimate([2.0])
    assert one.mean == 2
    assert math.isnan(one.low)
    same = estimate([2.0, 2.0, 2.0])
    assert (same.low, same.mean, same.high) == (2, 2, 2)


def test_an_estimate_is_repeatable() -> None:
    values = DRAW.normal(0, 1, 12)
    assert estimate(values) == estimate(values)


def test_holm_matches_the_textbook_example() -> None:
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert corrected == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})


def test_holm_never_exceeds_one() -> None:
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1.0, "b": 1.0}


def test_effect_is_one_when_every_case_is_better_and_zero_when_nothing_differs() -> None:
    assert rank_biserial(np.array([0.1, 0.2, 0.3])) == 1
    assert rank_biserial(np.array([-0.1, -0.2])) == -1
    assert rank_biserial(np.zeros(4)) == 0


def test_a_better_reference_is_found_and_paired_by_case() -> None:
    base = DRAW.normal(0, 1, 15)
    table = pandas.DataFrame({"utad": base + 0.5, "worse": base + DRAW.normal(0, 0.05, 15), "same": base + 0.5})
    table.loc[3, "worse"] = math.nan
    result = compare(table, "utad")
    pairs = table[["utad", "worse"]].dropna()
    assert result["worse"].pairs == 14
    assert result["worse"].difference == pytest.approx(float((pairs["utad"] - pairs["worse"]).mean()))
    assert result["worse"].p_value == pytest.approx(float(stats.wilcoxon(pairs["utad"], pairs["worse"]).pvalue))
    assert result["worse"].p_holm == pytest.approx(2 * result["worse"].p_value)
    assert result["worse"].effect == 1
    assert (result["same"].p_value, result["same"].difference) == (1, 0)


def test_without_common_cases_nothing_is_claimed() -> None:
    table = pandas.DataFrame({"utad": [1.0, math.nan], "other": [math.nan, 2.0]})
    result = compare(table, "utad")["other"]
    assert (result.pairs, result.p_value) == (0, 1.0)
    assert math.isnan(result.difference)


def test_holm_agrees_with_statsmodels() -> None:
    p_values = {f"method {place}": float(p) for place, p in enumerate(DRAW.uniform(0, 0.2, 9))}
    _, theirs, _, _ = multipletests(list(p_values.values()), method="holm")
    assert holm(p_values) == pytest.approx(dict(zip(p_values, theirs, strict=True)))


def test_the_effect_agrees_with_the_rank_sums_of_scipy() -> None:
    differences = DRAW.normal(0.3, 1, 20)
    ranks = 20 * 21 / 2
    positive = stats.wilcoxon(differences, alternative="greater").statistic  # the rank sum of positive differences
    assert rank_biserial(differences) == pytest.approx((2 * positive - ranks) / ranks)


def test_the_interval_agrees_with_resampling_by_hand() -> None:
    values = DRAW.normal(2, 1, 25)
    means = [DRAW.choice(values, 25).mean() for _ in range(4000)]
    result = estimate(values)
    assert (result.low, result.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.06)


def test_the_interval_of_a_difference_is_paired() -> None:
    base = DRAW.normal(0, 5, 30)
    result = compare(pandas.DataFrame({"utad": base + DRAW.normal(0.3, 0.1, 30), "other": base}), "utad")["other"]
    assert 0.2 < result.difference_low < result.difference < result.difference_high < 0.4
