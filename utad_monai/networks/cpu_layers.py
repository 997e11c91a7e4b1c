"""Layers of torch whose sums or gradients are computed faster on a CPU: the same mathematics.

In exports, under autocast and on other devices they are torch's own; in evaluation, too, where rounding could differ.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.jit import is_scripting, is_tracing  # type: ignore[attr-defined]
from torch.nn import functional


def trains_on_cpu(layer: nn.Module, features: Tensor) -> bool:
    """Return whether a layer trains on a CPU in the type of its features: autocast chooses types for torch's layers."""
    return layer.training and features.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


class NarrowConv2d(nn.Conv2d):
    """`nn.Conv2d` of few channels, stride 1 and unchanged size, whose gradients are faster on a CPU: the same sums.

    oneDNN fills a vector register with channels, in the gradients' kernels more so than forward: with fewer channels it
    computes with zeros. Where either side has many, its own kernels are faster.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return `(B, out, H, W)` of `(B, in, H, W)`."""
        # TorchScript passes over a block of this condition, and of no other
        if not is_scripting():  # noqa: SIM102
            if trains_on_cpu(self, features):
                return _applied(_NarrowConvolution, features, self.weight, self.bias, list(self.padding))
        return functional.conv2d(features, self.weight, self.bias, padding=self.padding)


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


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last)


class PairMaxPool2d(nn.MaxPool2d):
    """`nn.MaxPool2d(2)` of even height and width: the greater of two rows, then of two columns; in evaluation, too.

    Torch's own goes through each window and keeps its place, pixel by pixel. The gradient goes to one pixel of each
    window here, too; of equal ones to another, perhaps.
    """

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, features: Tensor) -> Tensor:
        """Return `(B, C, H/2, W/2)` of `(B, C, H, W)`.

        Raises:
            RuntimeError: when a height or width is odd; images of a generator are multiples of 16.
        """
        if not is_scripting():  # noqa: SIM102
            if features.device.type == "cpu" and not _is_exported():
                return _applied(_PairMaximum, features)
        return functional.max_pool2d(features, 2)


def _is_exported() -> bool:
    return bool(is_tracing() or torch.compiler.is_compiling())


class _PairMaximum(Function):
    """The maxima of windows of 2 x 2, and their gradients."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        """Return `(B, C, H/2, W/2)` of `(B, C, H, W)`."""
        ctx.save_for_backward(features)
        return torch.maximum(*_pairs(_greater_rows(features), dim=3))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient of the features."""
        (features,) = ctx.saved_tensors
        of_rows = _to_the_greater(gradient, _greater_rows(features), dim=3)
        return _to_the_greater(of_rows, features, dim=2)


def _greater_rows(features: Tensor) -> Tensor:
    return torch.maximum(*_pairs(features, dim=2))


def _to_the_greater(gradient: Tensor, features: Tensor, dim: int) -> Tensor:
    """Return the gradient of features from that of the greater of each two; the first of two equal ones has it."""
    first, second = _pairs(features, dim)
    of_first = gradient * (first >= second).to(gradient.dtype)  # faster than a choice
    return torch.stack([of_first, gradient - of_first], dim + 1).flatten(dim, dim + 1)


class BilinearDoubling(nn.Upsample):
    """`nn.Upsample` to twice the size, bilinear with aligned corners; its gradient row by row, then column by column.

    Torch's own gradient adds up pixel by pixel.
    """

    def __init__(self) -> None:
        super().__init__(scale_factor=2, mode="bilinear", align_corners=True)

    def forward(self, features: Tensor) -> Tensor:
        """Return `(B, C, 2H, 2W)` of `(B, C, H, W)`."""
        if not is_scripting():  # noqa: SIM102
            if trains_on_cpu(self, features):
                return _applied(_Doubling, features)
        return _doubled(features)


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=True)


class _Doubling(Function):
    """Bilinear upsampling to twice the size, and its gradient."""

    @staticmethod
    def forward(_ctx: Any, features: Tensor) -> Tensor:
        """Return `(B, C, 2H, 2W)` of `(B, C, H, W)`."""
        return _doubled(features)

    @staticmethod
    @once_differentiable
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient of the features."""
        return _of_what_was_doubled(_of_what_was_doubled(gradient, dim=2), dim=3)


def _of_what_was_doubled(gradient: Tensor, dim: int) -> Tensor:
    """Return the gradient of n values from that of the 2n that were interpolated between them.

    Values 2i and 2i + 1 lie around value i: the former has i / (2n - 1) of value i - 1, the latter the same share,
    counted from the other end, of value i + 1, and value i has what is left of both.
    """
    before, after = _pairs(gradient, dim)
    size = before.shape[dim]
    shares = torch.arange(size, dtype=gradient.dtype) / (2 * size - 1)
    of_previous = shares.view([-1] + [1] * (gradient.dim() - 1 - dim))
    of_next = of_previous.flip(0)
    gathered = (before * (1 - of_previous)).addcmul_(after, 1 - of_next)
    if size > 1:
        inner = size - 1
        gathered.narrow(dim, 0, inner).addcmul_(before.narrow(dim, 1, inner), of_previous.narrow(0, 1, inner))
        gathered.narrow(dim, 1, inner).addcmul_(after.narrow(dim, 0, inner), of_next.narrow(0, 0, inner))
    return gathered


def _pairs(values: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the first and the second of each two along a dimension of even length."""
    first, second = values.unflatten(dim, (-1, 2)).unbind(dim + 1)
    return first, second


def _applied(function: type[Function], *values: Any) -> Tensor:
    computed: Tensor = function.apply(*values)
    return computed
