"""Distillation: zero between equals, nothing for the teacher to learn, same shapes or a clear refusal."""

from __future__ import annotations

import pytest
import torch

from utad_monai.keys import LossTerm
from utad_monai.losses import LossWeights, distillation_terms
from utad_monai.networks import Translation


def translation(image: float, feature: float, channels: int = 8) -> Translation:
    return Translation(
        torch.full((2, 1, 16, 16), image, requires_grad=True),
        None,
        torch.full((2, channels, 2, 2), feature, requires_grad=True),
    )


def terms_of(student: Translation, teacher: Translation, **weights: float) -> dict[LossTerm, torch.Tensor]:
    """Return the terms where the left half of the image is tumour."""
    mask = torch.zeros(2, 1, 16, 16)
    mask[..., :8] = 1
    return distillation_terms(student, teacher, mask, LossWeights(**weights))


def test_equal_outputs_cost_nothing() -> None:
    terms = terms_of(translation(0.3, 1.0), translation(0.3, 1.0))
    assert {name: float(value.detach()) for name, value in terms.items()} == {
        LossTerm.IMAGE_DISTILLATION: 0,
        LossTerm.FEATURE_DISTILLATION: 0,
    }


def test_each_term_is_the_mean_absolute_error_of_its_own_tensor() -> None:
    terms = terms_of(translation(0.3, 1.0), translation(0.1, 4.0))
    assert terms[LossTerm.IMAGE_DISTILLATION].item() == pytest.approx(0.2, rel=1e-5)
    assert terms[LossTerm.FEATURE_DISTILLATION].item() == pytest.approx(3.0, rel=1e-5)


def test_gradient_goes_to_the_student_and_not_to_the_teacher() -> None:
    student, teacher = translation(0.3, 1.0), translation(0.1, 4.0)
    torch.stack(list(terms_of(student, teacher).values())).sum().backward()
    assert teacher.image.grad is None
    assert teacher.bottleneck.grad is None
    assert student.image.grad is not None
    assert student.bottleneck.grad is not None
    assert bool((student.image.grad > 0).all())
    assert bool((student.bottleneck.grad < 0).all())


def test_other_width_is_refused_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"student \(2, 8, 2, 2\), teacher \(2, 16, 2, 2\)"):
        terms_of(translation(0.0, 0.0), translation(0.0, 0.0, channels=16))


def test_tumour_and_structure_are_compared_where_they_have_a_weight() -> None:
    student, teacher = translation(0.3, 1.0), translation(0.3, 1.0)
    with torch.no_grad():
        teacher.image[..., :8] = -0.1
    assert set(terms_of(student, teacher)) == {LossTerm.IMAGE_DISTILLATION, LossTerm.FEATURE_DISTILLATION}
    terms = terms_of(student, teacher, tumour_distillation=3, structure_distillation=4)
    assert terms[LossTerm.TUMOUR_DISTILLATION].item() == pytest.approx(0.4, rel=1e-5)
    assert terms[LossTerm.IMAGE_DISTILLATION].item() == pytest.approx(0.2, rel=1e-5)
    assert terms[LossTerm.STRUCTURE_DISTILLATION].item() > 0.01
    alike = terms_of(student, student, structure_distillation=4)
    assert alike[LossTerm.STRUCTURE_DISTILLATION].item() == pytest.approx(0, abs=1e-5)
