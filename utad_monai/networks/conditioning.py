"""Conditioning by norms: what the network is told of source and target, as scales and shifts of its channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def condition_codes(modalities: int) -> int:
    """Return the number of conditions: a target modality and the set of modalities that the translation starts from."""
    return modalities << modalities


class Modulation(nn.Module):
    """A scale and a shift of each channel per condition (conditional InstanceNorm, Dumoulin et al. 2017).

    InstanceNorm takes constant planes away: a condition that is given by planes hardly passes it, one that comes
    after it does. All scales are 1 and all shifts 0 at the start.

    Args:
        codes: number of conditions.
        channels: channels C of the features.
    """

    def __init__(self, codes: int, channels: int) -> None:
        super().__init__()
        self.table = nn.Embedding(codes, 2 * channels)
        nn.init.zeros_(self.table.weight)

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """Return `(B, C, H, W)` of the same shape; `code` `(B,)` int64."""
        scale, shift = self.table(code)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, features, 1 + scale)


def present_modalities(images: Tensor, background: float) -> Tensor:
    """Return `(B, M)` bool: which channels of `(B, M, H, W)` show any brain; the others are absent."""
    return images.amax(dim=(2, 3)) > background


def condition_code(target_modality: Tensor, present: Tensor) -> Tensor:
    """Return `(B,)` int64 in [0, `condition_codes(M)`): target `(B,)` int64 and present modalities `(B, M)` bool."""
    code = target_modality * (1 << present.shape[1])
    for place in range(present.shape[1]):  # ONNX knows no shift of tensors
        code = code + present[:, place].to(torch.int64) * (1 << place)
    return code


SATURATION = 0.97
"""Images are scaled by this before they become logits, which are infinite at -1 and 1."""


class GainHead(nn.Module):
    """`x^ = tanh(h + (1 + g) b)`: an offset h and a gain g, per pixel, of a base image b given as logits.

    The base is a mixture of the images that are there, learned per condition, with a scale and a shift per condition.
    All weights are 0 at the start: the first output is the mean, in logits, of the images that are there.

    Args:
        channels: channels F of the decoder's last features.
        images: number S of images that the base is mixed from.
        codes: number of conditions.
    """

    def __init__(self, channels: int, images: int, *, codes: int) -> None:
        super().__init__()
        self.change = nn.Conv2d(channels + images, 2, kernel_size=1)
        self.mixture = nn.Embedding(codes, images)
        self.window = nn.Embedding(codes, 2)
        self.saturation = SATURATION  # TorchScript sees no constant of a module
        self.start_at_base()

    def start_at_base(self) -> None:
        """Set all weights to 0, so that the output is the base image."""
        for weight in self.parameters():
            nn.init.zeros_(weight)

    def forward(self, features: Tensor, images: Tensor, code: Tensor | None) -> Tensor:
        """Return an image `(B, 1, H, W)` in (-1, 1).

        Args:
            features: `(B, F, H, W)`.
            images: `(B, S, H, W)` in [-1, 1]; those that are background (-1) throughout are absent.
            code: `(B,)` int64; None for the first condition.
        """
        if code is None:
            code = torch.zeros(images.shape[0], dtype=torch.int64, device=images.device)
        present = images.amax(dim=(2, 3)) > -1.0
        logits = torch.atanh(self.saturation * images) * present[:, :, None, None]
        weights = self.mixture(code).masked_fill(~present, -1e4).softmax(dim=1)[:, :, None, None]
        scale, shift = self.window(code)[:, :, None, None].chunk(2, dim=1)
        base = (weights * logits).sum(dim=1, keepdim=True) * (1 + scale) + shift
        offset, gain = self.change(torch.cat([features, logits], dim=1)).chunk(2, dim=1)
        return torch.tanh(offset + (1 + gain) * base)
