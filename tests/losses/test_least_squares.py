"""The least-squares game: values and directions of its terms, and that each modality is judged by its own map."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from utad_monai.keys import AdversarialGame, LossTerm
from utad_monai.losses import least_squares_critic_terms, least_squares_generator_terms
from utad_monai.losses.least_squares import realness_as
from utad_monai.networks import Judgement, ModalityCritic, TumourAwareGenerator

T1, T2 = 1, 3


class BrightnessCritic(nn.Module):
    """Finds an image as real, as one of modality k, as its mean lies near `k / 4`: realness `1 - |mean - k / 4|`."""

    def forward(self, image: Tensor) -> Judgement:
        mean = image.mean(dim=(1, 2, 3))
        realness = torch.stack([1 - (mean - modality / 4).abs() for modality in range(4)], dim=1)
        return Judgement(realness[:, :, None, None], torch.zeros(len(image), 4))


def images(value: float, count: int = 3) -> Tensor:
    return torch.full((count, 1, 8, 8), value)


def of(modality: int, count: int = 3) -> Tensor:
    return torch.full((count,), modality)


def test_critic_wants_1_for_real_and_0_for_fake() -> None:
    terms = least_squares_critic_terms(BrightnessCritic(), images(0.25), images(0.25), of(T1), of(T2))
    assert terms[LossTerm.CRITIC_REAL].item() == pytest.approx(0)  # as a T1, it is one
    assert terms[LossTerm.CRITIC_FAKE].item() == pytest.approx(0.5**2)  # as a T2, it is half of one
    assert terms[LossTerm.CRITIC_MODALITY].item() == pytest.approx(math.log(4))
    assert LossTerm.CRITIC_GRADIENT_PENALTY not in terms


def test_copy_of_a_real_image_is_not_real_as_another_modality() -> None:
    critic = BrightnessCritic()
    copied, translated = (least_squares_generator_terms(critic, images(value), of(T2)) for value in (0.25, 0.75))
    assert copied[LossTerm.ADVERSARIAL].item() == pytest.approx(0.5**2)
    assert translated[LossTerm.ADVERSARIAL].item() == pytest.approx(0)
    assert translated[LossTerm.MODALITY].item() == pytest.approx(math.log(4))


def test_each_image_is_judged_by_the_map_of_its_own_modality() -> None:
    maps = torch.arange(2 * 4 * 2 * 3).reshape(2, 4, 2, 3)
    chosen = realness_as(Judgement(maps, torch.zeros(2, 4)), torch.tensor([2, 0]))
    assert torch.equal(chosen, torch.stack([maps[0, 2], maps[1, 0]]))


def test_critic_terms_give_the_generator_no_gradient() -> None:
    torch.manual_seed(0)
    fake, critic = torch.randn(3, 1, 32, 32, requires_grad=True), ModalityCritic((32, 32), 2, 4, "least_squares")
    terms = least_squares_critic_terms(critic, torch.randn(3, 1, 32, 32), fake, of(T1), of(T2))
    torch.stack(list(terms.values())).sum().backward()
    assert fake.grad is None
    assert all(weight.grad is not None for weight in critic.parameters())


def test_adversarial_term_alone_gives_the_generator_a_gradient() -> None:
    torch.manual_seed(0)
    generator, critic = TumourAwareGenerator(2), ModalityCritic((32, 32), 2, 4, AdversarialGame.LEAST_SQUARES)
    image = torch.rand(2, 1, 32, 32)
    translation = generator(image, image, of(T2, 2))
    least_squares_generator_terms(critic, translation.image, of(T2, 2))[LossTerm.ADVERSARIAL].backward()
    assert sum(w.grad.abs().sum().item() for w in generator.image_decoder.parameters() if w.grad is not None) > 0
