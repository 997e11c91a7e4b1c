"""Blocks: shapes, slopes and norms of the paper, and skips that the decoder really reads."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from utad_monai.networks import ModalityCritic, TumourAwareGenerator
from utad_monai.networks.blocks import (
    ConvNormAct,
    Decoder,
    DoubleConv,
    Encoder,
    Fusion,
    InstanceNorm,
    kaiming_normal,
    mean_of_groups,
)


def test_block_is_conv_3x3_then_instance_norm_without_affine_then_leaky_relu() -> None:
    convolution, norm, activation = ConvNormAct(3, 8)
    assert (convolution.kernel_size, convolution.padding) == ((3, 3), (1, 1))
    assert isinstance(norm, nn.InstanceNorm2d)
    assert not norm.affine
    assert activation.negative_slope == 0.01


@pytest.mark.parametrize("group", [1, 2, 6])
def test_channels_of_a_group_share_mean_and_variance(group: int) -> None:
    features = torch.randn(2, 6, 8, 10) * 3 + torch.arange(6)[:, None, None]
    torch.testing.assert_close(InstanceNorm(6, group)(features), nn.GroupNorm(6 // group, 6, affine=False)(features))


def test_a_constant_of_a_plane_survives_in_a_group_alone() -> None:
    features = torch.randn(1, 2, 8, 8)
    moved = features + torch.tensor([0.0, 5.0])[:, None, None]
    torch.testing.assert_close(InstanceNorm(2)(moved), InstanceNorm(2)(features))
    difference = InstanceNorm(2, group=2)(moved).mean(dim=(2, 3)).diff(dim=1)
    assert difference.item() > 1


@pytest.mark.parametrize("group", [0, 4, 12])
def test_channels_that_do_not_fit_into_groups_are_refused(group: int) -> None:
    with pytest.raises(ValueError, match=f"6 channels cannot be normalised in groups of {group}"):
        InstanceNorm(6, group)


def test_mean_of_groups_is_the_same_for_all_channels_of_a_group() -> None:
    means = torch.arange(12.0).reshape(2, 6, 1, 1)
    assert mean_of_groups(means, 3).flatten(1).tolist() == [[1, 1, 1, 4, 4, 4], [7, 7, 7, 10, 10, 10]]
    assert mean_of_groups(means, 1) is means


def test_double_block_keeps_the_size_and_convolves_twice() -> None:
    block = DoubleConv(3, 8)
    assert block(torch.randn(2, 3, 12, 10)).shape == (2, 8, 12, 10)
    assert [tuple(m.weight.shape[:2]) for m in block.modules() if isinstance(m, nn.Conv2d)] == [(8, 3), (8, 8)]


def test_encoder_doubles_its_features_per_level_and_halves_the_size() -> None:
    bottleneck, skips = Encoder(5, 2)(torch.randn(1, 5, 32, 48))
    assert [tuple(skip.shape) for skip in skips] == [(1, 2, 32, 48), (1, 4, 16, 24), (1, 8, 8, 12), (1, 16, 4, 6)]
    assert bottleneck.shape == (1, 32, 2, 3)


@pytest.mark.parametrize("level", range(4))
def test_decoder_uses_the_skip_of_each_level(level: int) -> None:
    torch.manual_seed(0)
    skips = [torch.randn(1, 2 * 2**n, 32 // 2**n, 32 // 2**n, requires_grad=True) for n in range(4)]
    Decoder(2)(torch.randn(1, 32, 2, 2), skips).square().sum().backward()
    gradient = skips[level].grad
    assert gradient is not None
    assert gradient.abs().sum().item() > 0


def test_decoder_uses_the_bottleneck_and_returns_one_channel_at_full_size() -> None:
    torch.manual_seed(0)
    bottleneck = torch.randn(1, 32, 2, 2, requires_grad=True)
    skips = [torch.randn(1, 2 * 2**n, 32 // 2**n, 32 // 2**n) for n in range(4)]
    image = Decoder(2)(bottleneck, skips)
    assert image.shape == (1, 1, 32, 32)
    image.square().sum().backward()
    assert bottleneck.grad is not None
    assert bottleneck.grad.abs().sum().item() > 0


def test_decoder_ends_with_the_tanh_of_its_head() -> None:
    torch.manual_seed(0)
    decoder = Decoder(2)
    heads: list[torch.Tensor] = []
    decoder.head.register_forward_hook(lambda _module, _inputs, output: heads.append(output))
    skips = [torch.randn(1, 2 * 2**n, 32 // 2**n, 32 // 2**n) for n in range(4)]
    image = decoder(torch.randn(1, 32, 2, 2), skips)
    torch.testing.assert_close(image, heads[0].tanh())
    assert decoder.head.kernel_size == (1, 1)


def test_decoder_upsamples_bilinearly_with_aligned_corners() -> None:
    upsample = Decoder(2).upsample
    ramp = torch.tensor([[[[0.0, 3.0], [0.0, 3.0]]]])
    torch.testing.assert_close(upsample(ramp)[0, 0, 0], torch.tensor([0.0, 1.0, 2.0, 3.0]))


def test_fusion_sees_sum_product_and_maximum() -> None:
    fusion = Fusion(4)
    fusion.layers = nn.Sequential()
    whole, tumour = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    expected = torch.cat([whole + tumour, whole * tumour, torch.max(whole, tumour)], dim=1)
    torch.testing.assert_close(fusion(whole, tumour), expected)


def test_fusion_is_twice_conv_batch_norm_leaky_relu_back_to_its_own_width() -> None:
    fusion = Fusion(4)
    shapes = [tuple(m.weight.shape) for m in fusion.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [(4, 12, 3, 3), (4, 4, 3, 3)]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in fusion.modules()) == 2
    assert [m.negative_slope for m in fusion.modules() if isinstance(m, nn.LeakyReLU)] == [0.1, 0.1]
    assert fusion(torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)).shape == (2, 4, 3, 3)


@pytest.mark.parametrize("network", [TumourAwareGenerator(4), ModalityCritic((32, 32), 8, layers=4)], ids=["G", "D"])
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
