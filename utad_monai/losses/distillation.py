"""Losses against a given image: the true one of the phantom, or the teacher's."""

from __future__ import annotations

from monai.losses import SSIMLoss
from torch import Tensor
from torch.nn import functional

from utad_monai.keys import LossTerm
from utad_monai.losses.consistency import tumour_guidance_loss
from utad_monai.losses.weights import LossWeights
from utad_monai.networks import Translation
from utad_monai.transforms import mask_tumour

_structure = SSIMLoss(spatial_dims=2, data_range=1.0)
_PAIRED = (LossTerm.PAIRED, LossTerm.PAIRED_TUMOUR, LossTerm.PAIRED_STRUCTURE)
_ANCHOR = (LossTerm.ANCHOR, LossTerm.ANCHOR_TUMOUR, LossTerm.ANCHOR_STRUCTURE)
_DISTILLATION = (LossTerm.IMAGE_DISTILLATION, LossTerm.TUMOUR_DISTILLATION, LossTerm.STRUCTURE_DISTILLATION)


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
    terms = _likeness(translation.image, target, tumour_mask, weights, _PAIRED)
    if weights.paired_local > 0 and translation.tumour_image is not None:
        terms[LossTerm.PAIRED_LOCAL] = functional.l1_loss(translation.tumour_image, mask_tumour(target, tumour_mask))
    return terms


def anchor_terms(image: Tensor, painted: Tensor, tumour_mask: Tensor, weights: LossWeights) -> dict[LossTerm, Tensor]:
    """Return the terms that hold translations at what start weights paint; those of weight 0 are not computed.

    `ANCHOR` is `E|x^ - x_S|`, `ANCHOR_TUMOUR` its mean inside each sample's tumour, `ANCHOR_STRUCTURE` 1 - SSIM.

    Args:
        image: `x^`, `(B, 1, H, W)` in [-1, 1].
        painted: `x_S`, the same shape and range.
        tumour_mask: `M`, `(B, 1, H, W)`, 0 or 1.
        weights: which terms count.
    """
    return _likeness(image, painted, tumour_mask, weights, _ANCHOR)


def _likeness(
    image: Tensor, target: Tensor, tumour_mask: Tensor, weights: LossWeights, names: tuple[LossTerm, LossTerm, LossTerm]
) -> dict[LossTerm, Tensor]:
    everywhere, in_tumour, structure = names
    terms = {everywhere: functional.l1_loss(image, target)}
    if weights.of(in_tumour) > 0:
        terms[in_tumour] = tumour_guidance_loss(image, target, tumour_mask)
    if weights.of(structure) > 0:
        # SSIM compares brightness by ratios: in [-1, 1] a little more or less of mid-grey, which is 0, would be all
        terms[structure] = _structure((image + 1) / 2, (target + 1) / 2)
    return terms


def distillation_terms(
    student: Translation, teacher: Translation, tumour_mask: Tensor, weights: LossWeights
) -> dict[LossTerm, Tensor]:
    """Return the terms that hold a student at its teacher, unweighted scalars.

    `IMAGE_DISTILLATION` is `E|x^ - x_T|`, `FEATURE_DISTILLATION` `E|f_S - f_T|` (Huang, Wei, Li 2024, section III-C).
    `TUMOUR_DISTILLATION` is the mean of the first inside each sample's tumour and `STRUCTURE_DISTILLATION` 1 - SSIM;
    these two are computed where their weight is not 0. The teacher's tensors carry no gradient.

    Args:
        student: `x^` and `f_S`.
        teacher: `x_T` and `f_T`, of the same shapes.
        tumour_mask: `M`, `(B, 1, H, W)`, 0 or 1.
        weights: which terms count.

    Raises:
        ValueError: when the bottlenecks differ in shape (networks of different widths).
    """
    if student.bottleneck.shape != teacher.bottleneck.shape:
        raise ValueError(
            f"bottlenecks differ: student {tuple(student.bottleneck.shape)}, teacher {tuple(teacher.bottleneck.shape)}"
        )
    features = functional.l1_loss(student.bottleneck, teacher.bottleneck.detach())
    likeness = _likeness(student.image, teacher.image.detach(), tumour_mask, weights, _DISTILLATION)
    image = {LossTerm.IMAGE_DISTILLATION: likeness.pop(LossTerm.IMAGE_DISTILLATION)}
    return image | {LossTerm.FEATURE_DISTILLATION: features} | likeness  # in this order losses are added up
