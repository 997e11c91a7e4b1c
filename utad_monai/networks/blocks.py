"""The convolution blocks that encoder, decoder and fusion are made of."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from utad_monai.networks.conditioning import GainHead, Modulation

ENCODER_SLOPE = 0.01
"""Negative slope of the LeakyReLU in encoders and decoders."""
FUSION_SLOPE = 0.1
"""Negative slope of the LeakyReLU in the fusion block."""


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


def convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    """Return a convolution that keeps height and width, `(B, in, H, W)` to `(B, out, H, W)`."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)


class ConvNormAct(nn.Sequential):
    """Conv 3x3 -> InstanceNorm (no affine) -> LeakyReLU, `(B, in, H, W)` to `(B, out, H, W)`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        norm_group: channels that share a mean and variance; 1 is InstanceNorm.
        codes: number of conditions that each have their own scale and shift of the normalised channels; 0 for none.

    Raises:
        ValueError: when `out_channels` is no multiple of `norm_group`.
    """

    def __init__(self, in_channels: int, out_channels: int, *, norm_group: int = 1, codes: int = 0) -> None:
        super().__init__(
            convolution(in_channels, out_channels, kernel_size=3),
            InstanceNorm(out_channels, norm_group),
            nn.LeakyReLU(ENCODER_SLOPE, inplace=True),
        )
        self.modulation = Modulation(codes, out_channels) if codes else None

    def forward(self, features: Tensor, code: Tensor | None = None) -> Tensor:
        """Return `(B, out, H, W)` of `(B, in, H, W)`; `code` `(B,)` int64 chooses scale and shift."""
        features = self[1](self[0](features))
        if self.modulation is not None and code is not None:
            features = self.modulation(features, code)
        activated: Tensor = self[2](features)
        return activated


class DoubleConv(nn.Sequential):
    """Two `ConvNormAct` in a row, `(B, in, H, W)` to `(B, out, H, W)`; arguments as there."""

    def __init__(self, in_channels: int, out_channels: int, *, norm_group: int = 1, codes: int = 0) -> None:
        widths = (in_channels, out_channels, out_channels)
        super().__init__(
            *(ConvNormAct(before, after, norm_group=norm_group, codes=codes) for before, after in pairwise(widths))
        )

    def forward(self, features: Tensor, code: Tensor | None = None) -> Tensor:
        """Return `(B, out, H, W)` of `(B, in, H, W)`; `code` `(B,)` int64 chooses scale and shift."""
        convolved: Tensor = self[1](self[0](features, code), code)
        return convolved


class Encoder(nn.Module):
    """Four levels of two convolutions and a 2x2 max-pool, then a centre block.

    Args:
        in_channels: channels of the input, image and one-hot planes.
        base_channels: feature maps of the first level; they double per level (F, 2F, 4F, 8F, centre 16F).
        norm_group: channels that share a mean and variance.
        codes: conditions that have their own scales and shifts (`ConvNormAct`); 0 for none.
    """

    def __init__(self, in_channels: int, base_channels: int, *, norm_group: int = 1, codes: int = 0) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(4)]
        self.levels = nn.ModuleList(
            DoubleConv(before, after, norm_group=norm_group, codes=codes)
            for before, after in pairwise([in_channels, *widths])
        )
        self.pool = nn.MaxPool2d(2)
        self.centre = DoubleConv(widths[-1], 2 * widths[-1], norm_group=norm_group, codes=codes)

    def forward(self, image: Tensor, code: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Return the bottleneck `(B, 16F, H/16, W/16)` and the skips, finest first; H and W are multiples of 16."""
        skips = []
        for level in self.levels:
            image = level(image, code)
            skips.append(image)
            image = self.pool(image)
        return self.centre(image, code), skips


class Decoder(nn.Module):
    """Four levels of bilinear upsampling and a skip, then a head that makes an image.

    Args:
        base_channels: feature maps of the finest level.
        norm_group: channels that share a mean and variance.
        codes: conditions that have their own scales and shifts (`ConvNormAct`); 0 for none.
        gain_images: images that a gain head starts from; 0 for the paper's head, a 1x1 convolution and tanh.
    """

    def __init__(self, base_channels: int, norm_group: int = 1, *, codes: int = 0, gain_images: int = 0) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in reversed(range(4))]
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.reductions = nn.ModuleList(
            ConvNormAct(2 * width, width, norm_group=norm_group, codes=codes) for width in widths
        )
        self.levels = nn.ModuleList(
            DoubleConv(2 * width, width, norm_group=norm_group, codes=codes) for width in widths
        )
        self.head = None if gain_images else nn.Conv2d(base_channels, 1, kernel_size=1)
        self.gain_head = GainHead(base_channels, gain_images, codes=max(1, codes)) if gain_images else None

    def forward(
        self, bottleneck: Tensor, skips: list[Tensor], code: Tensor | None = None, images: Tensor | None = None
    ) -> Tensor:
        """Return an image `(B, 1, H, W)` in (-1, 1).

        Args:
            bottleneck: `(B, 16F, H/16, W/16)`.
            skips: the encoder's, finest first.
            code: `(B,)` int64 condition; None where there are none.
            images: `(B, S, H, W)` in [-1, 1], what a gain head starts from.

        Raises:
            ValueError: when a gain head is given no images.
        """
        features = bottleneck
        # TorchScript knows neither `reversed` nor a strict `zip`
        for place, (reduction, level) in enumerate(zip(self.reductions, self.levels)):  # noqa: B905
            reduced = reduction(self.upsample(features), code)
            features = level(torch.cat([reduced, skips[-1 - place]], dim=1), code)
        if self.gain_head is not None:
            if images is None:
                raise ValueError("a gain head needs the images that it starts from")
            gained: Tensor = self.gain_head(features, images, code)
            return gained
        assert self.head is not None  # one of the two heads is there
        return torch.tanh(self.head(features))


class Fusion(nn.Module):
    """Fuse two bottlenecks by sum, product and maximum, then two convolutions with BatchNorm.

    Args:
        channels: channels of each bottleneck (16F), and of the result.
        residual: whether the result is added to the whole image's bottleneck, and is 0 at the start: a network that
            was taught without a tumour branch stays what it is until the branch has learned something.
    """

    def __init__(self, channels: int, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.layers = nn.Sequential(self._layer(3 * channels, channels), self._layer(channels, channels))
        if residual:
            self.start_at_nothing()

    def start_at_nothing(self) -> None:
        """Let a residual fusion add 0 until it has learned something."""
        norms = [module for module in self.layers.modules() if isinstance(module, nn.BatchNorm2d)]
        nn.init.zeros_(norms[-1].weight)
        nn.init.zeros_(norms[-1].bias)

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
        return whole + fused if self.residual else fused


class SkipFusion(nn.Module):
    """Add what a tumour encoder sees at every level to the skips of the image, through 1x1 convolutions.

    The bottleneck has a sixteenth of the resolution: through it alone a decoder learns that there is a tumour, hardly
    where it ends. Beyond the paper, part of `residual_fusion`.

    Args:
        base_channels: feature maps of the finest level, F; they double per level.
    """

    def __init__(self, base_channels: int) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(4)]
        self.levels = nn.ModuleList(convolution(width, width, kernel_size=1) for width in widths)

    def start_at_nothing(self) -> None:
        """Let the image's skips be what they are until the tumour encoder has learned something."""
        for level in self.levels:
            for weight in level.parameters():
                nn.init.zeros_(weight)

    def forward(self, image: list[Tensor], tumour: list[Tensor]) -> list[Tensor]:
        """Return the image's skips, finest first, each with its share of the tumour's, of the same shape."""
        return [image[place] + level(tumour[place]) for place, level in enumerate(self.levels)]


def kaiming_normal(module: nn.Module) -> None:
    """Initialise one convolution with Kaiming-normal weights and zero biases; made for `nn.Module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, a=ENCODER_SLOPE, nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
