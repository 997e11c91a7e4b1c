"""InstanceNorm written out so that OpenVINO computes it as exactly as torch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from utad_monai.networks import StudentTranslator
from utad_monai.networks.blocks import InstanceNorm, mean_of_groups
from utad_monai.networks.generator import SIZE_DIVISOR


class PooledInstanceNorm(nn.Module):
    """Instance normalisation whose means are taken over tiles first, then over the tiles.

    OpenVINO adds up a plane in one float32 accumulator, with its own operator and with any chain of means, which it
    joins; the rounding error grows with the plane. It does not join an average pooling with the mean after it.

    Args:
        tile: height and width of a tile in pixels; those of every plane are multiples of it.
        epsilon: added to the variance, as in `nn.InstanceNorm2d`.
        group: channels that share a mean and variance.
    """

    def __init__(self, tile: int, epsilon: float, group: int = 1) -> None:
        super().__init__()
        self.tile = tile
        self.epsilon = epsilon
        self.group = group

    def forward(self, features: Tensor) -> Tensor:
        """Return `(B, C, H, W)` with mean 0 and variance 1 in each group of planes."""
        centred = features - self._plane_mean(features)
        return centred * torch.rsqrt(self._plane_mean(centred * centred) + self.epsilon)

    def _plane_mean(self, features: Tensor) -> Tensor:
        tiles = functional.avg_pool2d(features, self.tile) if self.tile > 1 else features
        return mean_of_groups(tiles.mean(dim=(2, 3), keepdim=True), self.group)


def with_pooled_norms(network: StudentTranslator) -> nn.Module:
    """Return a copy of a student with `PooledInstanceNorm` in place of every InstanceNorm.

    Images are multiples of 16 pixels. Each pooling halves the planes and doubles the channels, so the channels of a
    norm tell what its planes are multiples of.
    """
    changed = copy.deepcopy(network)
    finest = changed.generator.base_channels
    for parent in list(changed.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, InstanceNorm):
                tile = SIZE_DIVISOR * finest // child.num_features
                setattr(parent, name, PooledInstanceNorm(tile, child.eps, child.group))
    return changed.eval()
