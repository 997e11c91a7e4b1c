from __future__ import annotations

import math

import pytest
import torch

from transforms import BACKGROUND
from utad_monai.metrics.consistency import slice_consistency, through_plane_variation


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
