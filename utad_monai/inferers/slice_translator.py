"""Slices of one volume through a generator, in batches."""

from __future__ import annotations

import torch
from torch import Tensor

from transforms import BACKGROUND, mask_tumour
from utad_monai.inferers.engines import slice_engine
from utad_monai.keys import InferenceEngine, Modality
from utad_monai.networks import TumourAwareGenerator


class SliceTranslator:
    """Translate normalised slices to another modality; slices without brain are not computed.

    Args:
        generator: teacher or student.
        device: where to compute; the generator is moved there.
        batch_size: slices in one pass.
        engine: what computes; all but torch take the generator as it is at the first call.
        threads: of engines other than torch; those of torch when None.

    Raises:
        EngineError: when a library of the engine is missing.
        ValueError: when an engine other than torch is asked to compute a teacher.
    """

    def __init__(
        self,
        generator: TumourAwareGenerator,
        device: torch.device | str = "cpu",
        batch_size: int = 16,
        engine: InferenceEngine | str = InferenceEngine.TORCH,
        threads: int | None = None,
    ) -> None:
        self.generator = generator
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.engine = slice_engine(engine, generator, device, threads)

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
        for chosen in occupied.split(self.batch_size):
            masks = None if tumour_mask is None else tumour_mask[chosen]
            translated[chosen] = self._translate_batch(slices[chosen], target, masks)
        return translated

    def _translate_batch(self, slices: Tensor, target: Modality, tumour_mask: Tensor | None) -> Tensor:
        image = slices[:, None].to(torch.float32)
        second = image
        if self.needs_mask and tumour_mask is not None:
            second = mask_tumour(image, tumour_mask[:, None].to(image))
        modality = torch.full((len(image),), target.channel, device=image.device)
        return self.engine(image, second, modality)[:, 0].clamp(BACKGROUND, 1.0)
