"""Distillation: zero between equals, nothing for the teacher to learn, same shapes or a clear refusal."""

from __future__ import annotations

import pytest
import torch

from utad_monai.keys import LossTerm
from utad_monai.losses import distillation_terms
from utad_monai.networks import Translation


def translation(image: float, feature: float, channels: int = 8) -> Translation:
    return Translation(
        torch.full((2, 1, 16, 16), image, requires_grad=True),
        None,
        torch.full((2, channels, 2, 2), feature, requires_grad=True),
    )


def test_equal_outputs_cost_nothing() -> None:
    terms = distillation_terms(translation(0.3, 1.0), translation(0.3, 1.0))
    assert {name: float(value.detach()) for name, value in terms.items()} == {
        LossTerm.IMAGE_DISTILLATION: 0,
        LossTerm.FEATURE_DISTILLATION: 0,
    }


def test_each_term_is_the_mean_absolute_error_of_its_own_tensor() -> None:
    terms = distillation_terms(translation(0.3, 1.0), translation(0.1, 4.0))
    assert terms[LossTerm.IMAGE_DISTILLATION].item() == pytest.approx(0.2, rel=1e-5)
    assert terms[LossTerm.FEATURE_DISTILLATION].item() == pytest.approx(3.0, rel=1e-5)


def test_gradient_goes_to_the_student_and_not_to_the_teacher() -> None:
    student, teacher = translation(0.3, 1.0), translation(0.1, 4.0)
    torch.stack(list(distillation_terms(student, teacher).values())).sum().backward()
    assert teacher.image.grad is None
    assert teacher.bottleneck.grad is None
    assert student.image.grad is not None
    assert student.bottleneck.grad is not None
    assert bool((student.image.grad > 0).all())
    assert bool((student.bottleneck.grad < 0).all())


def test_other_width_is_refused_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"student \(2, 8, 2, 2\), teacher \(2, 16, 2, 2\)"):
        distillation_terms(translation(0.0, 0.0), translation(0.0, 0.0, channels=16))
