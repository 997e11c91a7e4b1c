"""Teaching terms: what they are worth, which are computed, and whom they move."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from utad_monai.keys import LossTerm
from utad_monai.losses import LossWeights, teaching_terms
from utad_monai.networks import Translation

ALL = LossWeights(paired=1, paired_tumour=1, paired_structure=1, paired_local=1)
PAIRED = (LossTerm.PAIRED, LossTerm.PAIRED_TUMOUR, LossTerm.PAIRED_STRUCTURE, LossTerm.PAIRED_LOCAL)


@pytest.fixture
def mask() -> Tensor:
    """A tumour of one pixel, and one of sixteen."""
    mask = torch.zeros(2, 1, 16, 16)
    mask[0, :, 3, 5] = 1
    mask[1, :, 4:8, 4:8] = 1
    return mask


def terms_of(image: Tensor, target: Tensor, mask: Tensor, tumour_image: Tensor | None = None) -> dict[str, float]:
    translation = Translation(image, tumour_image, torch.zeros(len(image), 1, 1, 1))
    return {str(term): value.item() for term, value in teaching_terms(translation, target, mask, ALL).items()}


def test_the_true_target_costs_nothing(image: Tensor, mask: Tensor) -> None:
    tumour_image = torch.where(mask > 0, image, torch.tensor(-1.0))
    assert terms_of(image, image, mask, tumour_image) == pytest.approx({str(term): 0 for term in PAIRED}, abs=1e-5)


def test_a_difference_costs_its_mean_and_in_the_tumour_that_of_each_tumour(image: Tensor, mask: Tensor) -> None:
    target = image.clone()
    target[0] += 0.5
    target[1, :, 4:8, 4:8] += 0.1
    terms = terms_of(image, target, mask)
    assert terms[LossTerm.PAIRED] == pytest.approx((0.5 + 0.1 * 16 / 256) / 2, rel=1e-4)
    assert terms[LossTerm.PAIRED_TUMOUR] == pytest.approx((0.5 + 0.1) / 2, rel=1e-4)


def test_structure_prefers_another_brightness_to_another_pattern(image: Tensor, mask: Tensor) -> None:
    brighter, mirrored = terms_of(image + 0.1, image, mask), terms_of(image.flip(-1), image, mask)
    assert 0 < brighter[LossTerm.PAIRED_STRUCTURE] < 0.05 < 0.5 < mirrored[LossTerm.PAIRED_STRUCTURE]
    assert terms_of(-image, image, mask)[LossTerm.PAIRED_STRUCTURE] > 1


def test_structure_of_mid_grey_is_that_of_any_grey(image: Tensor, mask: Tensor) -> None:
    costs = [
        terms_of(0.2 * image + grey + 0.02, 0.2 * image + grey, mask)[LossTerm.PAIRED_STRUCTURE]
        for grey in (-0.3, 0.0, 0.3)
    ]
    assert max(costs) < 0.005


def test_structure_has_the_constants_of_intensities_in_0_1(image: Tensor, mask: Tensor) -> None:
    dark, darker = torch.full_like(image, -0.96), torch.full_like(image, -0.98)  # 0.02 and 0.01
    expected = 1 - (2 * 0.02 * 0.01 + 1e-4) / (0.02**2 + 0.01**2 + 1e-4)
    assert terms_of(dark, darker, mask)[LossTerm.PAIRED_STRUCTURE] == pytest.approx(expected, rel=0.01)


def test_the_tumour_image_is_compared_with_the_targets_tumour(image: Tensor, mask: Tensor) -> None:
    nothing, whole = torch.full_like(image, -1.0), image
    inside = ((image + 1) * mask).mean().item()
    assert terms_of(image, image, mask, nothing)[LossTerm.PAIRED_LOCAL] == pytest.approx(inside, rel=1e-4)
    outside = ((image + 1) * (1 - mask)).mean().item()
    assert terms_of(image, image, mask, whole)[LossTerm.PAIRED_LOCAL] == pytest.approx(outside, rel=1e-4)


def test_a_generator_without_tumour_decoder_has_no_local_term(image: Tensor, mask: Tensor) -> None:
    assert set(terms_of(image, image, mask)) == {str(term) for term in PAIRED[:3]}


def test_terms_of_weight_0_are_not_computed(image: Tensor, mask: Tensor) -> None:
    translation = Translation(image, image, image)
    assert list(teaching_terms(translation, image, mask, LossWeights())) == [LossTerm.PAIRED]
    for weight, term in zip(("tumour", "structure", "local"), PAIRED[1:], strict=True):
        weights = LossWeights(**{f"paired_{weight}": 0.1})
        assert list(teaching_terms(translation, image, mask, weights)) == [LossTerm.PAIRED, term]


def test_translations_move_towards_the_target_and_the_target_stays(image: Tensor, mask: Tensor) -> None:
    made, tumour_image = image.clone().requires_grad_(), image.clone().requires_grad_()
    target = image + 0.2
    terms = teaching_terms(Translation(made, tumour_image, image), target, mask, ALL)
    for term in (LossTerm.PAIRED, LossTerm.PAIRED_TUMOUR):
        (gradient,) = torch.autograd.grad(terms[term], made, retain_graph=True)
        reached = torch.ones_like(mask) if term is LossTerm.PAIRED else mask
        assert torch.equal(gradient < 0, reached > 0)
    (gradient,) = torch.autograd.grad(terms[LossTerm.PAIRED_LOCAL], tumour_image)
    assert torch.equal(gradient < 0, mask > 0)


def test_a_batch_without_any_tumour_is_finite(image: Tensor) -> None:
    terms = terms_of(image, image + 0.1, torch.zeros_like(image), image)
    assert all(torch.isfinite(torch.tensor(value)) for value in terms.values())
    assert terms[LossTerm.PAIRED_TUMOUR] == 0
