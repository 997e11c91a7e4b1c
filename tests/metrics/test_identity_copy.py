from __future__ import annotations

import math

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
