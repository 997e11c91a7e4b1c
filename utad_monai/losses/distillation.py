"""What the student learns from the frozen teacher."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from utad_monai.keys import LossTerm
from utad_monai.networks import Translation


def distillation_terms(student: Translation, teacher: Translation) -> dict[LossTerm, Tensor]:
    """Return the image-level `E|x^ - x_T|` and feature-level `E|f_S - f_T|` distillation terms, unweighted scalars.

    Source: Huang, Wei, Li 2024, section III-C. The teacher's tensors carry no gradient.

    Raises:
        ValueError: when the bottlenecks differ in shape (networks of different widths).
    """
    if student.bottleneck.shape != teacher.bottleneck.shape:
        raise ValueError(
            f"bottlenecks differ: student {tuple(student.bottleneck.shape)}, teacher {tuple(teacher.bottleneck.shape)}"
        )
    return {
        LossTerm.IMAGE_DISTILLATION: functional.l1_loss(student.image, teacher.image.detach()),
        LossTerm.FEATURE_DISTILLATION: functional.l1_loss(student.bottleneck, teacher.bottleneck.detach()),
    }
