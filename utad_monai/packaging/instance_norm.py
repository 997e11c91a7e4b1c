"""InstanceNorm written out so that onnxruntime computes it as exactly as torch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from utad_monai.networks.blocks import InstanceNorm, mean_of_groups


class TwoStepInstanceNorm(nn.Module):
    """Instance normalisation whose means are taken over rows first, then over columns.

    onnxruntime sums a whole plane in one float32 accumulator, whose rounding error grows with the plane (up to 2e-3 in
    the result at 512 x 512 pixels); sums of row means stay small (3e-5).

    Args:
        epsilon: added to the variance, as in `nn.InstanceNorm2d`.
        group: channels that share a mean and variance.
    """

    def __init__(self, epsilon: float, group: int = 1) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.group = group

    def forward(self, features: Tensor) -> Tensor:
        """Return `(B, C, H, W)` with mean 0 and variance 1 in each group of planes."""
        centred = features - self._mean(features)
        normalised: Tensor = centred / torch.sqrt(self._mean(centred * centred) + self.epsilon)
        return normalised

    def _mean(self, features: Tensor) -> Tensor:
        return mean_of_groups(_plane_mean(features), self.group)


def with_two_step_norms(network: nn.Module) -> nn.Module:
    """Return a copy of a network with `TwoStepInstanceNorm` in place of every `nn.InstanceNorm2d`.

    Raises:
        ValueError: when a norm has weights or running statistics, which the copy would not have.
    """
    changed = copy.deepcopy(network)
    for parent in list(changed.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.InstanceNorm2d):
                if child.affine or child.track_running_stats:
                    raise ValueError(f"{name} has weights or statistics: it cannot be written out")
                group = child.group if isinstance(child, InstanceNorm) else 1
                setattr(parent, name, TwoStepInstanceNorm(child.eps, group))
    return changed.eval()


def _plane_mean(features: Tensor) -> Tensor:
    return features.mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)
