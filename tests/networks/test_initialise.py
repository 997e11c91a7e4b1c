"""Every convolution starts Kaiming normal with zero bias."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from utad_monai.networks import ModalityCritic, TumourAwareGenerator
from utad_monai.networks.initialise import kaiming_normal


@pytest.mark.parametrize("network", [TumourAwareGenerator(4), ModalityCritic((32, 32), 8, 4)], ids=["G", "D"])
def test_networks_start_kaiming_normal_with_zero_bias(network: nn.Module) -> None:
    checked = 0
    for module in network.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if module.bias is not None:
            assert module.bias.abs().max().item() == 0
        if module.weight.numel() >= 4000:
            expected = math.sqrt(2 / (1 + 0.01**2) / module.weight[0].numel())
            assert module.weight.std().item() == pytest.approx(expected, rel=0.08)
            checked += 1
    assert checked >= 2


def test_weights_are_normal_and_not_uniform() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(64, 64, 3)
    kaiming_normal(convolution)
    beyond_two_deviations = (convolution.weight.abs() > 2 * convolution.weight.std()).float().mean()
    assert beyond_two_deviations.item() == pytest.approx(0.0455, abs=0.01)


def test_other_modules_are_left_alone() -> None:
    norm = nn.BatchNorm2d(3)
    nn.init.constant_(norm.weight, 5.0)
    kaiming_normal(norm)
    assert norm.weight.tolist() == [5, 5, 5]


def test_convolution_without_bias_is_accepted() -> None:
    kaiming_normal(nn.Conv2d(1, 1, 3, bias=False))
