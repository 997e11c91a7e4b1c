"""BatchNorm over the batches of all processes that train together, on any device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function

from utad_monai.distributed import wait_awake, world_size


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
