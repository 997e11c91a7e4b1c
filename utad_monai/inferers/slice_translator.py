"""Slices of one volume through a generator, in batches."""

from __future__ import annotations

import torch
from torch import Tensor

from transforms import BACKGROUND, mask_tumour
from utad_monai.keys import Modality
from utad_monai.networks import TumourAwareGenerator


class SliceTranslator:
    """Translate normalised slices to another modality; slices without brain are not computed.

    Args:
        generator: teacher or student.
        device: where to compute; the generator is moved there.
        batch_size: slices in one pass.
    """

    def __init__(
        self, generator: TumourAwareGenerator, device: torch.device | str = "cpu", batch_size: int = 16
    ) -> None:
        self.generator = generator.to(device)
        self.device = torch.device(device)
        self.batch_size = batch_size

    @property
    def needs_mask(self) -> bool:
        """Whether translations need tumour masks (a teacher)."""
        return self.generator.needs_mask

    @torch.inference_mode()
    def __call__(self, slices: Tensor, target: Modality, tumour_mask: Tensor | None = None) -> Tensor:
        """Translate `(Z, H, W)` slices in [-1, 1] to `target`; the tumour decoder is not run.

        Args:
            slices: images with background exactly -1.
            target: the modality to make.
            tumour_mask: `(Z, H, W)` 0 or 1; needed by a teacher, not used by a student.

        Returns:
            `(Z, H, W)` in [-1, 1] on the CPU; slices without brain are all -1.

        Raises:
            ValueError: when a teacher is asked without masks.
        """
        if self.needs_mask and tumour_mask is None:
            raise ValueError("this generator needs tumour masks (a teacher): use a student, or give masks")
        translated = torch.full_like(slices, BACKGROUND, device="cpu")
        occupied = (slices > BACKGROUND).flatten(1).any(dim=1).nonzero().flatten()
        was_training = self.generator.training
        self.generator.eval()
        for chosen in occupied.split(self.batch_size):
            masks = None if tumour_mask is None else tumour_mask[chosen]
            translated[chosen] = self._translate_batch(slices[chosen], target, masks)
        self.generator.train(was_training)
        return translated

    def _translate_batch(self, slices: Tensor, target: Modality, tumour_mask: Tensor | None) -> Tensor:
        image = slices[:, None].to(self.device, torch.float32)
        second = image
        if self.needs_mask and tumour_mask is not None:
            second = mask_tumour(image, tumour_mask[:, None].to(image))
        modality = torch.full((len(image),), target.channel, device=self.device)
        translated: Tensor = self.generator(image, second, modality, with_tumour_image=False).image
        return translated[:, 0].clamp(BACKGROUND, 1.0).cpu()
