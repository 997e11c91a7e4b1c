from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from utad_monai.metrics.unpaired import slice_consistency, through_plane_variation
from utad_monai.transforms import BACKGROUND


def stairs(step: float, slices: int = 5) -> torch.Tensor:
    return torch.stack([torch.full((4, 4), -0.5 + step * place) for place in range(slices)])


def test_variation_is_the_mean_step_between_slices() -> None:
    assert through_plane_variation(stairs(0.1)) == pytest.approx(0.1, abs=1e-6)


def test_the_background_does_not_count() -> None:
    volume = stairs(0.1)
    volume[:, 0] = BACKGROUND
    volume[2, 1] = BACKGROUND  # a pixel that leaves the brain is no variation
    assert through_plane_variation(volume) == pytest.approx(0.1, abs=1e-6)


def test_a_volume_is_as_consistent_as_itself() -> None:
    assert slice_consistency(stairs(0.2), stairs(0.2)) == pytest.approx(1)


def test_stripes_count_more_than_one_and_blur_less() -> None:
    real = stairs(0.1)
    stripes = real + 0.2 * torch.tensor([1.0, -1, 1, -1, 1])[:, None, None]
    assert slice_consistency(real, stripes) > 2
    assert slice_consistency(real, stairs(0.05)) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(
    "real", [torch.full((3, 4, 4), 0.3), torch.full((3, 4, 4), BACKGROUND), torch.full((1, 4, 4), 0.3)]
)
def test_without_variation_to_compare_with_there_is_no_ratio(real: torch.Tensor) -> None:
    assert math.isnan(slice_consistency(real, stairs(0.1, len(real))))


def test_variation_agrees_with_a_derivative_of_scipy() -> None:
    draw = np.random.default_rng(0)
    volume = draw.uniform(-0.9, 1, (7, 6, 5))
    volume[:, 0] = BACKGROUND
    step = ndimage.correlate1d(volume, [-1.0, 1.0], axis=0, origin=0)[1:]  # this slice minus the one before
    assert through_plane_variation(torch.from_numpy(volume)) == pytest.approx(float(np.abs(step[:, 1:]).mean()))


def test_a_constant_translation_has_no_variation() -> None:
    assert slice_consistency(stairs(0.2), torch.full((5, 4, 4), 0.1)) == 0
