"""Faster layers: values and gradients of torch's own, and torch's own in exports."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from utad_monai.networks.cpu_layers import BilinearDoubling, NarrowConv2d, PairMaxPool2d

CHANNELS = 5
LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module]]] = {
    "narrow convolution": (lambda: NarrowConv2d(5, 3, 3, padding=1), lambda: nn.Conv2d(5, 3, 3, padding=1)),
    "widening convolution": (lambda: NarrowConv2d(5, 8, 3, padding=1), lambda: nn.Conv2d(5, 8, 3, padding=1)),
    "convolution of size 1": (lambda: NarrowConv2d(5, 8, 1), lambda: nn.Conv2d(5, 8, 1)),
    "max-pool": (PairMaxPool2d, lambda: nn.MaxPool2d(2)),
    "doubling": (BilinearDoubling, lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)),
}
OWN = ["_NarrowConvolution", "_PairMaximum", "_Doubling"]
"""Names in the graph of what is computed by this project."""


def computed(layer: nn.Module, image: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return a result and the gradients of the image and of the weights."""
    image = image.clone().requires_grad_()
    made = layer(image)
    weights = torch.linspace(-1, 2, made.numel(), dtype=made.dtype).view(made.shape)
    (made * weights).sum().backward()
    gradients = [values.grad for values in (image, *layer.parameters())]
    assert all(gradient is not None for gradient in gradients)
    return made, gradients  # type: ignore[return-value]


@pytest.mark.parametrize("size", [(12, 10), (2, 2), (2, 8), (4, 2)])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_the_values_and_gradients_of_torchs_own(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours, theirs = (make().double() for make in LAYERS[name])
    theirs.load_state_dict(ours.state_dict())
    image = torch.randn(2, CHANNELS, *size, dtype=torch.float64)
    torch.testing.assert_close(computed(ours, image), computed(theirs, image))


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 1)])
def test_a_single_row_or_column_is_doubled(size: tuple[int, int]) -> None:
    ours, theirs = (make() for make in LAYERS["doubling"])
    image = torch.randn(1, 1, *size)
    torch.testing.assert_close(computed(ours, image), computed(theirs, image))


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "max-pool"])
def test_a_layer_whose_rounding_differs_is_torchs_own_in_evaluation_and_autocast(name: str) -> None:
    layer, image = LAYERS[name][0](), torch.randn(2, CHANNELS, 8, 8, requires_grad=True)
    assert any(own in type(layer(image).grad_fn).__name__ for own in OWN)
    with torch.autocast("cpu", torch.bfloat16):
        assert not any(own in type(layer(image).grad_fn).__name__ for own in OWN)
    assert not any(own in type(layer.eval()(image).grad_fn).__name__ for own in OWN)


def test_an_image_that_needs_no_gradient_gets_none() -> None:
    layer, image = NarrowConv2d(5, 3, 3, padding=1), torch.randn(2, 5, 8, 8)
    layer(image).sum().backward()
    assert image.grad is None
    assert layer.weight.grad is not None


def test_of_equal_pixels_one_has_the_gradient_of_their_window() -> None:
    image = torch.tensor([[3.0, 3.0, 1.0, 0.0], [3.0, 3.0, 2.0, 2.0]])[None, None].requires_grad_()
    PairMaxPool2d()(image).backward(torch.tensor([[[[5.0, 7.0]]]]))
    assert image.grad is not None
    assert image.grad[0, 0].tolist() == [[5, 0, 0, 0], [0, 0, 7, 0]]


def test_the_greatest_of_a_window_with_nan_is_nan() -> None:
    image = torch.zeros(1, 1, 2, 4)
    image[0, 0, 1, 2] = torch.nan
    assert PairMaxPool2d()(image).isnan().tolist() == [[[[False, True]]]]


@pytest.mark.parametrize("size", [(3, 4), (4, 3)])
def test_an_odd_size_is_not_pooled(size: tuple[int, int]) -> None:
    with pytest.raises(RuntimeError):
        PairMaxPool2d()(torch.zeros(1, 1, *size))


def test_evaluation_has_the_faster_max_pool_and_the_very_values_of_torchs() -> None:
    layer, image = PairMaxPool2d().eval(), torch.randn(2, CHANNELS, 8, 8, requires_grad=True)
    pooled = layer(image)
    assert "_PairMaximum" in type(pooled.grad_fn).__name__
    assert torch.equal(pooled, nn.MaxPool2d(2)(image))


@pytest.mark.parametrize("export", ["trace", "script", "program"])
def test_exports_have_torchs_max_pool(export: str) -> None:
    layer, image = PairMaxPool2d().eval(), torch.randn(2, CHANNELS, 8, 8)
    exporters: dict[str, Callable[[], object]] = {
        "trace": lambda: torch.jit.trace(layer, image).graph,
        "script": lambda: torch.jit.script(layer).inlined_graph,
        "program": lambda: torch.export.export(layer, (image,)).graph,
    }
    written = str(exporters[export]())
    assert "max_pool2d" in written
    assert "maximum" not in written
