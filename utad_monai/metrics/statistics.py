"""Uncertainty of means and paired comparisons between methods, one value per case."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
import pandas
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 2000
STATISTICS_PROTOCOL = (
    f"one value per case (mean over sources, targets and subsets); {CONFIDENCE:.0%} percentile bootstrap over cases, "
    f"{RESAMPLES} resamples, also of paired differences; two-sided Wilcoxon signed-rank test against the reference, "
    "Holm's correction over the methods of one metric; effect: matched-pairs rank-biserial correlation"
)
"""What intervals and tests mean; printed beside them."""


@dataclass(frozen=True)
class Estimate:
    """A mean over cases with its bootstrap interval.

    Attributes:
        mean: mean of the finite values; NaN when there is none.
        low: lower end of the 95 % interval (percentile bootstrap over cases); NaN with fewer than two values.
        high: upper end.
        cases: number of finite values.
    """

    mean: float
    low: float
    _: KW_ONLY
    high: float
    cases: int


@dataclass(frozen=True)
class Comparison:
    """A method against the reference, paired by case.

    Attributes:
        difference: mean of reference minus method.
        difference_low: lower end of its 95 % interval (percentile bootstrap over cases).
        difference_high: upper end.
        p_value: two-sided Wilcoxon signed-rank test; 1 where all differences are 0.
        p_holm: the same after Holm's correction over all methods compared.
        effect: matched-pairs rank-biserial correlation, in [-1, 1]; positive where the reference is greater.
        pairs: number of cases with both values.
    """

    difference: float
    difference_low: float
    _: KW_ONLY
    difference_high: float
    p_value: float
    p_holm: float
    effect: float
    pairs: int


def estimate(values: Sequence[float], seed: int = 0) -> Estimate:
    """Return the mean of one value per case with its bootstrap interval; NaNs are left out."""
    finite = np.asarray([value for value in values if np.isfinite(value)], dtype=float)
    if len(finite) == 0:
        return Estimate(np.nan, np.nan, high=np.nan, cases=0)
    mean = float(finite.mean())
    if len(finite) < 2 or np.ptp(finite) == 0:
        width = np.nan if len(finite) < 2 else mean
        return Estimate(mean, width, high=width, cases=len(finite))
    interval = stats.bootstrap(
        (finite,), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, method="percentile", rng=seed
    ).confidence_interval
    return Estimate(mean, float(interval.low), high=float(interval.high), cases=len(finite))


def compare(per_case: pandas.DataFrame, reference: str) -> dict[str, Comparison]:
    """Compare every other method with the reference.

    Args:
        per_case: one row per case, one column per method.
        reference: the column that all others are compared with.

    Returns:
        The comparison of each other method; cases without both values are left out.

    Raises:
        KeyError: when the reference is not a column.
    """
    raw: dict[str, Comparison] = {}
    for method in per_case.columns.drop(reference):
        pairs = per_case[[reference, method]].dropna()
        differences = (pairs[reference] - pairs[method]).to_numpy(dtype=float)
        step = estimate(differences.tolist())
        raw[str(method)] = Comparison(
            step.mean,
            step.low,
            difference_high=step.high,
            p_value=_wilcoxon(differences),
            p_holm=1.0,
            effect=rank_biserial(differences),
            pairs=len(differences),
        )
    corrected = holm({method: comparison.p_value for method, comparison in raw.items()})
    return {method: dataclasses.replace(c, p_holm=corrected[method]) for method, c in raw.items()}


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values after Holm's step-down correction (Holm 1979)."""
    corrected: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        corrected[name] = largest
    return corrected


def rank_biserial(differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Return the matched-pairs rank-biserial correlation (Kerby 2014); 0 where nothing differs."""
    nonzero = differences[differences != 0]
    if len(nonzero) == 0:
        return 0.0
    ranks = stats.rankdata(np.abs(nonzero))
    return float((ranks[nonzero > 0].sum() - ranks[nonzero < 0].sum()) / ranks.sum())


def _wilcoxon(differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    if len(differences) == 0 or not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)
