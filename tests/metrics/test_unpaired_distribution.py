"""Frechet and kernel distance agree with torchmetrics and MONAI, and are defined where those are not."""

from __future__ import annotations

import math

import pytest
import torch
from monai.metrics import FIDMetric
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from utad_monai.metrics.unpaired import frechet_distance, kernel_distance


class Features(nn.Module):
    """Hands torchmetrics its images as features: they are features already."""

    num_features = 6

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


@pytest.fixture
def sides() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    mixing = torch.rand(6, 6, generator=draw)
    return torch.randn(60, 6, generator=draw) @ mixing, torch.randn(80, 6, generator=draw) * 0.7 + 0.4


def test_frechet_distance_agrees_with_torchmetrics_and_monai(sides: tuple[Tensor, Tensor]) -> None:
    fakes, reals = sides
    metric = FrechetInceptionDistance(feature=Features(), normalize=True, input_img_size=(1, 1, 6))
    metric.set_dtype(torch.float64)
    metric.update(reals[:, None, None].double(), real=True)
    metric.update(fakes[:, None, None].double(), real=False)
    distance = frechet_distance(fakes, reals)
    assert distance == pytest.approx(float(metric.compute()), rel=1e-5)
    assert distance == pytest.approx(float(FIDMetric()(fakes, reals)), rel=1e-5)


def test_kernel_distance_agrees_with_torchmetrics(sides: tuple[Tensor, Tensor]) -> None:
    fakes, reals = sides[0], sides[1][:60]
    metric = KernelInceptionDistance(feature=Features(), subsets=1, subset_size=60, normalize=True)
    metric.update(reals[:, None, None], real=True)
    metric.update(fakes[:, None, None], real=False)
    expected, _ = metric.compute()
    assert kernel_distance(fakes, reals) == pytest.approx(float(expected), rel=1e-4)


def test_the_same_images_are_at_distance_0_and_a_shift_is_not(sides: tuple[Tensor, Tensor]) -> None:
    fakes, _ = sides
    assert frechet_distance(fakes, fakes) == pytest.approx(0, abs=1e-6)
    assert kernel_distance(fakes, fakes) <= 0
    assert frechet_distance(fakes + 1, fakes) == pytest.approx(6, rel=1e-6)
    assert kernel_distance(fakes + 1, fakes) > 0.1


def test_fewer_images_than_features_are_measured() -> None:
    draw = torch.Generator().manual_seed(1)
    fakes, reals = torch.randn(5, 40, generator=draw), torch.randn(4, 40, generator=draw)
    assert 0 < frechet_distance(fakes, reals) < 1000
    assert math.isfinite(kernel_distance(fakes, reals))


def test_constant_features_are_measured() -> None:
    ones = torch.ones(5, 3)
    assert frechet_distance(ones, ones * 3) == pytest.approx(12)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_have_no_distance(count: int) -> None:
    few, many = torch.ones(count, 3), torch.rand(9, 3)
    assert math.isnan(frechet_distance(few, many))
    assert math.isnan(kernel_distance(many, few))
