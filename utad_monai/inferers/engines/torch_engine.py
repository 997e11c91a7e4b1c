"""Slices computed by torch, on any device; the reference that the other engines are compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from utad_monai.networks import TumourAwareGenerator


class TorchEngine:
    """Compute a generator, teacher or student, without its tumour decoder.

    Args:
        generator: the network; what it is at each call counts.
        device: where to compute; the generator is moved there.
    """

    def __init__(self, generator: TumourAwareGenerator, device: torch.device | str = "cpu") -> None:
        self.generator = generator.to(device)
        self.device = torch.device(device)

    @torch.inference_mode()
    def __call__(self, image: Tensor, second_image: Tensor, target_modality: Tensor) -> Tensor:
        """Translate `(B, S, H, W)` slices to `(B, 1, H, W)`; the result lies on the CPU."""
        was_training = self.generator.training
        self.generator.eval()
        inputs = [tensor.to(self.device) for tensor in (image, second_image, target_modality)]
        translated: Tensor = self.generator(*inputs, with_tumour_image=False).image.cpu()
        self.generator.train(was_training)
        return translated
