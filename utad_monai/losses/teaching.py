"""What a translation is worth beside the true target, where a phantom has it."""

from __future__ import annotations

from monai.losses import SSIMLoss
from torch import Tensor
from torch.nn import functional

from transforms import mask_tumour
from utad_monai.keys import LossTerm
from utad_monai.losses.guidance import tumour_guidance_loss
from utad_monai.losses.weights import LossWeights
from utad_monai.networks import Translation

_structure = SSIMLoss(spatial_dims=2, data_range=1.0)


def teaching_terms(
    translation: Translation, target: Tensor, tumour_mask: Tensor, weights: LossWeights
) -> dict[LossTerm, Tensor]:
    """Return the terms that compare a translation with its true target; those of weight 0 are not computed.

    `PAIRED` is `E|x^ - y|`, `PAIRED_TUMOUR` its mean inside each sample's tumour, `PAIRED_STRUCTURE` 1 - SSIM
    (`monai.losses.SSIMLoss`) of intensities in [0, 1], and `PAIRED_LOCAL` `E|t^ - y (.) M|`. **They use paired
    targets**: of a phantom, or of a method that says so in its name.

    Args:
        translation: `(x^, t^)`, each `(B, 1, H, W)` in [-1, 1].
        target: y, the same shape and range.
        tumour_mask: `M`, `(B, 1, H, W)`, 0 or 1.
        weights: which terms count.
    """
    terms = {LossTerm.PAIRED: functional.l1_loss(translation.image, target)}
    if weights.paired_tumour > 0:
        terms[LossTerm.PAIRED_TUMOUR] = tumour_guidance_loss(translation.image, target, tumour_mask)
    if weights.paired_structure > 0:
        # SSIM compares brightness by ratios: in [-1, 1] a little more or less of mid-grey, which is 0, would be all
        terms[LossTerm.PAIRED_STRUCTURE] = _structure((translation.image + 1) / 2, (target + 1) / 2)
    if weights.paired_local > 0 and translation.tumour_image is not None:
        terms[LossTerm.PAIRED_LOCAL] = functional.l1_loss(translation.tumour_image, mask_tumour(target, tumour_mask))
    return terms
