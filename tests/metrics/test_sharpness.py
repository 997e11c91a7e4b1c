"""Sharpness is 1 for the real image, less for a blurred one, and looks at its region alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from utad_monai.metrics.sharpness import in_plane_variation, sharpness

EVERYWHERE = torch.ones(3, 16, 16, dtype=torch.bool)


@pytest.fixture
def real() -> torch.Tensor:
    return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5


def test_variation_is_the_mean_step_to_the_neighbours_of_the_slice() -> None:
    volume = torch.tensor([[[0.0, 0.1], [0.4, 0.0]], [[0.9, 0.9], [0.9, 0.9]]])
    assert in_plane_variation(volume[:1], torch.ones(1, 2, 2, dtype=torch.bool)) == pytest.approx(1.0 / 4)
    assert in_plane_variation(volume, torch.ones(2, 2, 2, dtype=torch.bool)) == pytest.approx(1.0 / 8)


def test_the_real_image_is_as_sharp_as_itself_and_brightness_does_not_matter(real: torch.Tensor) -> None:
    assert sharpness(real, real, EVERYWHERE) == 1
    assert sharpness(real, real + 0.3, EVERYWHERE) == pytest.approx(1, rel=1e-5)
    assert sharpness(real, real * 0.5, EVERYWHERE) == pytest.approx(0.5)


def test_blurred_is_less_and_noisy_is_more(real: torch.Tensor) -> None:
    blurred = functional.avg_pool2d(real, 3, stride=1, padding=1)
    noisy = real + torch.rand(real.shape, generator=torch.Generator().manual_seed(1))
    assert sharpness(real, blurred, EVERYWHERE) < 0.6
    assert sharpness(real, noisy, EVERYWHERE) > 1.1
    assert sharpness(real, torch.zeros_like(real), EVERYWHERE) == 0


def test_only_neighbours_inside_the_region_count(real: torch.Tensor) -> None:
    region = torch.zeros_like(EVERYWHERE)
    region[:, 4:8, 4:8] = True
    changed = torch.where(region, real, 1.0)
    assert sharpness(real, changed, region) == 1
    assert sharpness(real, changed, EVERYWHERE) < 0.5


def test_what_does_not_vary_or_has_no_neighbours_is_not_defined(real: torch.Tensor) -> None:
    point = torch.zeros_like(EVERYWHERE)
    point[1, 5, 5] = True
    assert math.isnan(sharpness(real, real, point))
    assert math.isnan(sharpness(real, real, torch.zeros_like(EVERYWHERE)))
    assert math.isnan(sharpness(torch.zeros_like(real), real, EVERYWHERE))


def test_other_shapes_are_refused(real: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        sharpness(real, real[:2], EVERYWHERE)
