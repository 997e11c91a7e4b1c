"""The convolution blocks that encoder, decoder and fusion are made of."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.jit import is_scripting  # type: ignore[attr-defined]
from torch.nn import functional

ENCODER_SLOPE = 0.01
"""Negative slope of the LeakyReLU in encoders and decoders."""
FUSION_SLOPE = 0.1
"""Negative slope of the LeakyReLU in the fusion block."""
VECTOR_CHANNELS = 16
"""Channels of float32 that a vector register holds (AVX-512)."""


class InstanceNorm(nn.InstanceNorm2d):
    """`nn.InstanceNorm2d` computed as a GroupNorm with one channel a group: the same sums, and faster on a CPU.

    Its backward needs its input and not its output, so that the activation after it may work in place.

    Args:
        num_features: channels C.
        group: so many channels share one mean and variance (GroupNorm, Wu and He 2018); with 1 it is InstanceNorm,
            which takes from each plane whatever is the same in all of the brain.

    Raises:
        ValueError: when the channels cannot be split into such groups.
    """

    def __init__(self, num_features: int, group: int = 1) -> None:
        super().__init__(num_features)
        if group < 1 or num_features % group != 0:
            raise ValueError(f"{num_features} channels cannot be normalised in groups of {group}")
        self.group = group

    def forward(self, features: Tensor) -> Tensor:
        """Return `(B, C, H, W)` with mean 0 and variance 1 in each group of planes."""
        return functional.group_norm(features, self.num_features // self.group, eps=self.eps)


def mean_of_groups(means: Tensor, group: int) -> Tensor:
    """Return means `(B, C, 1, 1)` in which the channels of a group have the mean of their group; for exports."""
    if group == 1:
        return means
    grouped: Tensor = means.unflatten(1, (-1, group)).mean(dim=2, keepdim=True)
    return grouped.expand(-1, -1, group, -1, -1).flatten(1, 2)


class NarrowConv2d(nn.Conv2d):
    """`nn.Conv2d` of few channels, stride 1 and unchanged size, whose gradients are faster on a CPU: the same sums.

    oneDNN fills a vector register with channels, in the gradients' kernels more so than forward: with fewer channels it
    computes with zeros. Where either side has many, its own kernels are faster.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return `(B, out, H, W)` of `(B, in, H, W)`."""
        # TorchScript passes over a block of this condition, and of no other
        if not is_scripting():  # noqa: SIM102
            if self._trains_on_cpu(features):
                return _narrow_convolution(features, self)
        return functional.conv2d(features, self.weight, self.bias, padding=self.padding)

    def _trains_on_cpu(self, features: Tensor) -> bool:
        # autocast chooses the types of a convolution, not those of a function
        return self.training and features.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


class _NarrowConvolution(Function):
    """A convolution of stride 1 and unchanged size, and its gradients."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, padding: list[int]) -> Tensor:
        """Return `(B, out, H, W)` of `(B, in, H, W)`."""
        ctx.save_for_backward(features, weight)
        ctx.padding = padding
        return functional.conv2d(features, weight, bias, padding=padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        """Return the gradients of features, weight and bias, and none for the padding."""
        features, weight = ctx.saved_tensors
        of_features = None
        if ctx.needs_input_grad[0]:  # a convolution too, with the mirrored kernel
            of_features = functional.conv2d(gradient, weight.transpose(0, 1).flip(2, 3), padding=ctx.padding)
        out_channels, in_channels = weight.shape[:2]
        if in_channels < out_channels:  # few enough to be worth another order
            gradient, features = map(_channels_last, (gradient, features))
        shape = ([out_channels], [1, 1], ctx.padding, [1, 1], False, [0, 0], 1)
        wanted = [False, True, True]
        _, of_weight, of_bias = torch.ops.aten.convolution_backward(gradient, features, weight, *shape, wanted)
        return of_features, of_weight, of_bias, None


def _narrow_convolution(features: Tensor, layer: nn.Conv2d) -> Tensor:
    computed: Tensor = _NarrowConvolution.apply(  # type: ignore[no-untyped-call]
        features, layer.weight, layer.bias, list(layer.padding)
    )
    return computed


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last)


def convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    """Return a convolution that keeps height and width, `(B, in, H, W)` to `(B, out, H, W)`."""
    fewer, more = sorted((in_channels, out_channels))
    layer = NarrowConv2d if fewer < VECTOR_CHANNELS >= more else nn.Conv2d
    return layer(in_channels, out_channels, kernel_size, padding=kernel_size // 2)


def conv_norm_act(in_channels: int, out_channels: int, norm_group: int = 1) -> nn.Sequential:
    """Return conv 3x3 -> InstanceNorm (no affine) -> LeakyReLU, `(B, in, H, W)` to `(B, out, H, W)`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        norm_group: channels that share a mean and variance; 1 is InstanceNorm.

    Raises:
        ValueError: when `out_channels` is no multiple of `norm_group`.
    """
    return nn.Sequential(
        convolution(in_channels, out_channels, kernel_size=3),
        InstanceNorm(out_channels, norm_group),
        nn.LeakyReLU(ENCODER_SLOPE, inplace=True),
    )


def double_conv(in_channels: int, out_channels: int, norm_group: int = 1) -> nn.Sequential:
    """Return two `conv_norm_act` in a row, `(B, in, H, W)` to `(B, out, H, W)`."""
    widths = (in_channels, out_channels, out_channels)
    return nn.Sequential(*(conv_norm_act(before, after, norm_group) for before, after in pairwise(widths)))


class Encoder(nn.Module):
    """Four levels of two convolutions and a 2x2 max-pool, then a centre block.

    Args:
        in_channels: channels of the input, image and one-hot planes.
        base_channels: feature maps of the first level; they double per level (F, 2F, 4F, 8F, centre 16F).
        norm_group: channels that share a mean and variance.
    """

    def __init__(self, in_channels: int, base_channels: int, norm_group: int = 1) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(4)]
        self.levels = nn.ModuleList(
            double_conv(before, after, norm_group) for before, after in pairwise([in_channels, *widths])
        )
        self.pool = nn.MaxPool2d(2)
        self.centre = double_conv(widths[-1], 2 * widths[-1], norm_group)

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
        norm_group: channels that share a mean and variance.
    """

    def __init__(self, base_channels: int, norm_group: int = 1) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in reversed(range(4))]
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.reductions = nn.ModuleList(conv_norm_act(2 * width, width, norm_group) for width in widths)
        self.levels = nn.ModuleList(double_conv(2 * width, width, norm_group) for width in widths)
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
