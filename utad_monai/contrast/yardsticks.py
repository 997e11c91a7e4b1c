"""The flat brain: every brain pixel carries the mean of the training images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from utad_monai.contrast.fitting import fit_contrast_maps
from utad_monai.data.intensity import mean_brain_intensities
from utad_monai.data.slice_store import SlicedCase, SliceStore
from utad_monai.keys import ImageSource, Modality, TumourRegion
from utad_monai.metrics.measures import BRAIN, HIGHER_IS_BETTER, column
from utad_monai.transforms import BACKGROUND


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


TranslationMethod = Callable[[Mapping[Modality, Tensor], Modality, Tensor | None], Tensor]
"""Makes a target from `(Z, H, W)` images of its sources and the tumour mask of the case, like a `SliceTranslator`."""


def takes_several(method: object) -> bool:
    """Tell whether a method makes a target from any number of sources at once (`several`), not from one alone."""
    return bool(getattr(method, "several", False))


YARDSTICK_PROTOCOL = {
    "flat_brain": "every brain pixel at the training mean of the target modality",
    "contrast_map": "64 numbers per pair of modalities, fitted without pairs through the mean brain of other training "
    "patients (docs/method.md)",
    "paired_contrast_map": "64 numbers per pair of modalities, the mean target by source intensity: USES PAIRS of "
    "training patients, which no other method may; a bound, not a competitor",
}
"""What the yardsticks are; printed beside their numbers."""

JUDGED = (("ssim", BRAIN), ("ssim", TumourRegion.WT), ("mae", TumourRegion.WT))
"""The measures, and where, in which a method has to beat its contrast map."""


def fit_yardsticks(store: SliceStore, cases: Sequence[SlicedCase]) -> dict[ImageSource, TranslationMethod]:
    """Fit the flat brain and both contrast maps on the training cases.

    Args:
        store: prepared slices.
        cases: training cases; any may lack modalities.
    """
    return {
        ImageSource.FLAT_BRAIN: FlatBrain(mean_brain_intensities(store, cases)),
        ImageSource.CONTRAST_MAP: fit_contrast_maps(store, cases),
        ImageSource.PAIRED_CONTRAST_MAP: fit_contrast_maps(store, cases, paired=True),
    }


def not_beaten(quality: Mapping[str, float | None], contrast_map: Mapping[str, float | None]) -> list[str]:
    """Return the measures of `JUDGED` in which a method is no better than a contrast map.

    Args:
        quality: means of the method by measure; one that is missing or None is not judged.
        contrast_map: the same of the contrast map.
    """
    judged = []
    for measure, region in JUDGED:
        metric = column(measure, region)
        own, its = quality.get(metric), contrast_map.get(metric)
        if own is not None and its is not None and not (own > its if HIGHER_IS_BETTER[measure] else own < its):
            judged.append(metric)
    return judged
