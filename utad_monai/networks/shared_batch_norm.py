"""BatchNorm over the batches of all processes that train together, on any device."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from utad_monai.distributed import world_size


class SharedBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the statistics of all processes' batches together; torch's own needs a GPU.

    Alone, and in evaluation, it is its parent. While it trains, every process must call it the same number of times.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return `(B, C, H, W)` with mean 0 and variance 1 in each channel, then scaled and shifted."""
        if not self.training or world_size() == 1:
            return super().forward(features)
        exact = features.to(torch.promote_types(features.dtype, torch.float32))
        mean, variance, count = _statistics(exact)
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shifted = (exact - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]
        return shifted.to(features.dtype)

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


def _statistics(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance `(C,)` and number of the values of each channel over all processes.

    Sums are float64: the variance is a difference of two of them.
    """
    variance, mean = torch.var_mean(features.double(), dim=(0, 2, 3), correction=0)
    count = torch.full_like(mean, features.numel() / len(mean))
    total, squares, count = all_reduce(torch.stack([mean * count, (variance + mean.square()) * count, count]))
    mean = total / count
    variance = squares / count - mean.square()
    return mean.to(features.dtype), variance.to(features.dtype), count[0].to(features.dtype)
