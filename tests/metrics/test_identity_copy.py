from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from transforms import BACKGROUND
from utad_monai.metrics.identity_copy import identity_copy_score

SOURCE = torch.full((2, 4, 4), -0.4)
REAL = torch.full((2, 4, 4), 0.4)


def test_a_copy_scores_one() -> None:
    assert identity_copy_score(SOURCE, SOURCE, REAL) == pytest.approx(1)


def test_the_real_target_scores_zero() -> None:
    assert identity_copy_score(SOURCE, REAL, REAL) == pytest.approx(0, abs=1e-6)


def test_an_image_beyond_the_target_scores_below_zero() -> None:
    assert identity_copy_score(SOURCE, REAL + 0.4, REAL) == pytest.approx(-0.5, abs=1e-5)


def test_only_brain_counts() -> None:
    source, translated = SOURCE.clone(), SOURCE.clone()
    source[:, :2], translated[:, :2] = BACKGROUND, 1.0
    assert identity_copy_score(source, translated, REAL) == pytest.approx(1)


def test_equal_source_and_target_or_no_brain_give_no_score() -> None:
    assert math.isnan(identity_copy_score(REAL, SOURCE, REAL))
    empty = torch.full((2, 4, 4), BACKGROUND)
    assert math.isnan(identity_copy_score(empty, SOURCE, REAL))


def test_the_score_agrees_with_numpy_on_a_masked_array() -> None:
    draw = np.random.default_rng(0)
    source, made, real = draw.uniform(-0.9, 1, (3, 2, 6, 6))
    source[:, :2] = BACKGROUND
    masked = [np.ma.masked_array(image, source <= BACKGROUND) for image in (source, made, real)]
    expected = 1 - np.ma.abs(masked[1] - masked[0]).mean() / np.ma.abs(masked[2] - masked[0]).mean()
    score = identity_copy_score(*(torch.from_numpy(image) for image in (source, made, real)))
    assert score == pytest.approx(float(expected))


def test_a_constant_image_has_a_score() -> None:
    draw = torch.Generator().manual_seed(0)
    source, real = (torch.rand(2, 4, 4, generator=draw) for _ in range(2))
    assert math.isfinite(identity_copy_score(source, torch.zeros(2, 4, 4), real))
