"""The flat brain: every brain pixel carries the mean of the training images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from transforms import BACKGROUND
from utad_monai.keys import Modality


@dataclass(frozen=True)
class FlatBrain:
    """A translation without any detail: what pixel measures reward in it, they reward for nothing.

    Attributes:
        means: mean brain intensity of each modality in the training images, in [-1, 1]
            (`utad_monai.data.intensity.mean_brain_intensities`); 0, the window's middle, for one that is missing.
    """

    means: Mapping[Modality, float]

    def __call__(
        self, images: Mapping[Modality, Tensor], target: Modality, _tumour_mask: Tensor | None = None, /
    ) -> Tensor:
        """Fill what is brain in any of the images, `(Z, H, W)` in [-1, 1], with the mean of the target.

        Called like a `SliceTranslator`.
        """
        brain = torch.stack([image > BACKGROUND for image in images.values()]).any(dim=0)
        return torch.where(brain, self.means.get(target, 0.0), BACKGROUND)
