"""Norm layers in other forms: over several processes, and for exported networks."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.nn import functional

from utad_monai.networks import StudentTranslator
from utad_monai.networks.blocks import InstanceNorm, mean_of_groups
from utad_monai.networks.generator import SIZE_DIVISOR
from utad_monai.runtime.parallel import wait_awake, world_size


class SharedBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the statistics of all processes' batches together; torch's own needs a GPU.

    Alone, and in evaluation, it is its parent. While it trains, every process must call it the same number of times.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return `(B, C, H, W)` with mean 0 and variance 1 in each channel, then scaled and shifted."""
        if not self.training or world_size() == 1:
            return super().forward(features)
        exact = features.to(torch.promote_types(features.dtype, torch.float32))
        normalised, mean, variance, count = _NormaliseTogether.apply(  # type: ignore[no-untyped-call]
            exact, self.weight, self.bias, self.eps
        )
        self._follow(mean, variance * count / (count - 1))
        return normalised.to(features.dtype)  # type: ignore[no-any-return]

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, the same way on every process."""
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
        self.running_var.lerp_(variance, self.momentum)  # type: ignore[union-attr, arg-type]


def share_batch_norm(network: nn.Module) -> None:
    """Let every `nn.BatchNorm2d` inside a network share its statistics; weights and names stay as they are."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm


class _NormaliseTogether(Function):
    """Normalise `(B, C, H, W)` with statistics of all processes: one message forward, one backward.

    Statistics are float64, and combined as means and variances of parts (Chan, Golub, LeVeque 1983).
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the result, and mean, variance and number of the values of each channel `(C,)`."""
        own_variance, own_mean = torch.var_mean(features.double(), dim=(0, 2, 3), correction=0)
        own_count = torch.full_like(own_mean, features.numel() / len(own_mean))
        means, variances, counts = _from_everywhere(torch.stack([own_mean, own_variance, own_count])).unbind(dim=1)
        count = counts.sum(dim=0)
        mean = (means * counts).sum(dim=0) / count
        variance = ((variances + (means - mean).square()) * counts).sum(dim=0) / count
        mean, variance, count = (values.to(features.dtype) for values in (mean, variance, count))
        scale = torch.rsqrt(variance + eps)
        standard = (features - _planes(mean)).mul_(_planes(scale))
        ctx.save_for_backward(standard, weight * scale, count)
        ctx.mark_non_differentiable(mean, variance, count)
        return torch.addcmul(_planes(bias), standard, _planes(weight)), mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return the gradients of features, of this process's share in weight and bias, and none for `eps`."""
        standard, scale, count = ctx.saved_tensors
        own = torch.stack([gradient.sum((0, 2, 3)), (gradient * standard).sum((0, 2, 3))])
        mean, slope = _from_everywhere(own.double()).sum(dim=0).to(gradient.dtype) / count
        along = torch.addcmul(gradient - _planes(mean), standard, _planes(slope), value=-1)
        return along * _planes(scale), own[1], own[0], None


def _from_everywhere(values: Tensor) -> Tensor:
    """Return the values of all processes along a new first dimension, in order of rank.

    Gloo gathers small messages in less time than it adds them up.
    """
    everywhere = [torch.empty_like(values) for _ in range(world_size())]
    message = distributed.all_gather(everywhere, values, async_op=True)
    wait_awake(message, values.device)
    return torch.stack(everywhere)


def _planes(values: Tensor) -> Tensor:
    """Return `(C,)` values of channels as `(C, 1, 1)`."""
    return values[:, None, None]


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
    for name, norm in list(changed.named_modules()):
        if isinstance(norm, nn.InstanceNorm2d):
            if norm.affine or norm.track_running_stats:
                raise ValueError(f"{name} has weights or statistics: it cannot be written out")
            changed.set_submodule(name, TwoStepInstanceNorm(norm.eps, getattr(norm, "group", 1)))
    return changed.eval()


def _plane_mean(features: Tensor) -> Tensor:
    return features.mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)


class PooledInstanceNorm(nn.Module):
    """Instance normalisation whose means are taken over tiles first, then over the tiles.

    OpenVINO adds up a plane in one float32 accumulator, with its own operator and with any chain of means, which it
    joins; the rounding error grows with the plane. It does not join an average pooling with the mean after it.

    Args:
        tile: height and width of a tile in pixels; those of every plane are multiples of it.
        epsilon: added to the variance, as in `nn.InstanceNorm2d`.
        group: channels that share a mean and variance.
    """

    def __init__(self, tile: int, epsilon: float, *, group: int = 1) -> None:
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
    for name, norm in list(changed.named_modules()):
        if isinstance(norm, InstanceNorm):
            tile = SIZE_DIVISOR * network.generator.base_channels // norm.num_features
            changed.set_submodule(name, PooledInstanceNorm(tile, norm.eps, group=norm.group))
    return changed.eval()
