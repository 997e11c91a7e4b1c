"""The convolution blocks that encoder, decoder and fusion are made of."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

ENCODER_SLOPE = 0.01
"""Negative slope of the LeakyReLU in encoders and decoders."""
FUSION_SLOPE = 0.1
"""Negative slope of the LeakyReLU in the fusion block."""
VECTOR_CHANNELS = 16
"""Channels of float32 that a vector register holds (AVX-512); convolutions from or to fewer are narrow."""


class InstanceNorm(nn.InstanceNorm2d):
    """`nn.InstanceNorm2d` computed as a GroupNorm with one channel a group: the same sums, and faster on a CPU.

    Its backward needs its input and not its output, so that the activation after it may work in place.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return `(B, C, H, W)` with mean 0 and variance 1 in each plane."""
        return functional.group_norm(features, self.num_features, eps=self.eps)


class NarrowConv2d(nn.Conv2d):
    """`nn.Conv2d` for few channels, trained in channels-last order on a CPU: the same sums, and faster.

    In the usual order oneDNN pads the channels to those of a vector register, backward too, and computes with zeros.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return `(B, out, H, W)` in the usual order, whatever it is computed in."""
        if self.training and features.device.type == "cpu":
            return super().forward(features.contiguous(memory_format=torch.channels_last)).contiguous()
        return super().forward(features)


def convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    """Return a convolution that keeps height and width, `(B, in, H, W)` to `(B, out, H, W)`."""
    narrow = min(in_channels, out_channels) < VECTOR_CHANNELS
    layer = NarrowConv2d if narrow else nn.Conv2d
    return layer(in_channels, out_channels, kernel_size, padding=kernel_size // 2)


def conv_norm_act(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return conv 3x3 -> InstanceNorm (no affine) -> LeakyReLU, `(B, in, H, W)` to `(B, out, H, W)`."""
    return nn.Sequential(
        convolution(in_channels, out_channels, kernel_size=3),
        InstanceNorm(out_channels),
        nn.LeakyReLU(ENCODER_SLOPE, inplace=True),
    )


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return two `conv_norm_act` in a row, `(B, in, H, W)` to `(B, out, H, W)`."""
    return nn.Sequential(conv_norm_act(in_channels, out_channels), conv_norm_act(out_channels, out_channels))


class Encoder(nn.Module):
    """Four levels of two convolutions and a 2x2 max-pool, then a centre block.

    Args:
        in_channels: channels of the input, image and one-hot planes.
        base_channels: feature maps of the first level; they double per level (F, 2F, 4F, 8F, centre 16F).
    """

    def __init__(self, in_channels: int, base_channels: int) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(4)]
        self.levels = nn.ModuleList(double_conv(before, after) for before, after in pairwise([in_channels, *widths]))
        self.pool = nn.MaxPool2d(2)
        self.centre = double_conv(widths[-1], 2 * widths[-1])

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the bottleneck `(B, 16F, H/16, W/16)` and the skips, finest first; H and W are multiples of 16."""
        skips = []
        for level in self.levels:
            image = level(image)
            skips.append(image)
            image = self.pool(image)
        return self.centre(image), skips


class Decoder(nn.Module):
    """Four levels of bilinear upsampling and a skip, then a 1x1 convolution and tanh.

    Args:
        base_channels: feature maps of the finest level.
    """

    def __init__(self, base_channels: int) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in reversed(range(4))]
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.reductions = nn.ModuleList(conv_norm_act(2 * width, width) for width in widths)
        self.levels = nn.ModuleList(double_conv(2 * width, width) for width in widths)
        self.head = convolution(base_channels, 1, kernel_size=1)

    def forward(self, bottleneck: Tensor, skips: list[Tensor]) -> Tensor:
        """Return an image `(B, 1, H, W)` in (-1, 1) from the bottleneck `(B, 16F, H/16, W/16)` and its skips."""
        features = bottleneck
        # TorchScript knows neither `reversed` nor a strict `zip`
        for place, (reduction, level) in enumerate(zip(self.reductions, self.levels)):  # noqa: B905
            features = level(torch.cat([reduction(self.upsample(features)), skips[-1 - place]], dim=1))
        return torch.tanh(self.head(features))


class Fusion(nn.Module):
    """Fuse two bottlenecks by sum, product and maximum, then two convolutions with BatchNorm.

    Args:
        channels: channels of each bottleneck (16F), and of the result.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(self._layer(3 * channels, channels), self._layer(channels, channels))

    @staticmethod
    def _layer(in_channels: int, out_channels: int) -> nn.Sequential:
        return nn.Sequential(
            convolution(in_channels, out_channels, kernel_size=3),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(FUSION_SLOPE, inplace=True),
        )

    def forward(self, whole: Tensor, tumour: Tensor) -> Tensor:
        """Return the fused bottleneck, the shape `(B, 16F, h, w)` of each input."""
        fused: Tensor = self.layers(torch.cat([whole + tumour, whole * tumour, torch.maximum(whole, tumour)], dim=1))
        return fused
