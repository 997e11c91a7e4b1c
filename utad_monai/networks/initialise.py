"""Weight initialisation of every network of the method."""

from __future__ import annotations

from torch import nn

from utad_monai.networks.blocks import ENCODER_SLOPE


def kaiming_normal(module: nn.Module) -> None:
    """Initialise one convolution with Kaiming-normal weights and zero biases; made for `nn.Module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, a=ENCODER_SLOPE, nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
