from __future__ import annotations

import numpy as np
import pytest

from utad_monai.contrast.curves import GRID, KnotMeans, histogram_matching, mean, spread, stretched

FLAT = np.full(64, 1 / 64)


def test_means_by_intensity_give_back_a_line() -> None:
    intensities = np.random.default_rng(0).uniform(0, 1, 100_000)
    means = KnotMeans()
    means.add(intensities[:50_000], 0.8 - 0.5 * intensities[:50_000])
    means.add(intensities[50_000:], 0.8 - 0.5 * intensities[50_000:])
    assert means.curve() == pytest.approx(0.8 - 0.5 * GRID, abs=0.01)
    assert means.weights.sum() == pytest.approx(100_000)


def test_knots_without_voxels_follow_their_neighbours() -> None:
    means = KnotMeans()
    for intensity, value in ((GRID[10], 0.2), (GRID[20], 0.4)):
        means.add(np.full(100, intensity), np.full(100, value))
    curve = means.curve()
    assert curve[[0, 10, 15, 20, 63]] == pytest.approx([0.2, 0.2, 0.3, 0.4, 0.4])


def test_too_few_voxels_make_no_curve() -> None:
    means = KnotMeans()
    means.add(np.linspace(0, 1, 10), np.ones(10))
    assert not means.known
    with pytest.raises(ValueError, match="enough voxels"):
        means.curve()


def test_stretching_multiplies_the_spread_and_keeps_the_mean_within_the_range() -> None:
    curve = 0.4 + 0.2 * GRID
    wide = stretched(curve, FLAT, 3)
    assert mean(wide, FLAT) == pytest.approx(mean(curve, FLAT))
    assert spread(wide, FLAT) == pytest.approx(3 * spread(curve, FLAT))
    clipped = stretched(curve, FLAT, 100)
    assert (clipped.min(), clipped.max()) == (0, 1)


def test_matching_gives_the_target_its_histogram() -> None:
    draw = np.random.default_rng(0)
    source, target = draw.beta(2, 5, 200_000), draw.beta(6, 2, 200_000)
    histograms = [np.bincount((v * 63).round().astype(int), minlength=64) / len(v) for v in (source, target)]
    matched = np.interp(source, GRID, histogram_matching(*histograms))
    levels = (0.1, 0.3, 0.5, 0.7, 0.9)
    assert np.quantile(matched, levels) == pytest.approx(np.quantile(target, levels), abs=0.01)


def test_matching_copes_with_empty_intensities() -> None:
    lonely = np.zeros(64)
    lonely[30] = 1
    assert np.isfinite(histogram_matching(FLAT, lonely)).all()
    assert histogram_matching(FLAT, FLAT) == pytest.approx(GRID)
