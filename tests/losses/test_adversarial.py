"""Both sides of the game: the penalty's value, the direction of every term, and who gets a gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from utad_monai.keys import AdversarialGame, LossTerm
from utad_monai.losses import LeastSquaresLoss, WassersteinLoss, gradient_penalty, loss_of_game
from utad_monai.losses.adversarial import HingeLoss, realness_as
from utad_monai.networks import Judgement, ModalityCritic, TumourAwareGenerator

T1, T2 = 1, 3


class LinearCritic(nn.Module):
    """Realness `slope * <w, x>` with a unit vector `w`: its gradient has the norm `slope` everywhere."""

    def __init__(self, slope: float, pixels: int = 64) -> None:
        super().__init__()
        torch.manual_seed(0)
        direction = torch.randn(pixels)
        self.direction = nn.Parameter(slope * direction / direction.norm())
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Judgement:
        self.seen.append(image.detach())
        realness = image.flatten(1) @ self.direction
        return Judgement(realness[:, None, None, None], torch.zeros(len(image), 4))


class MeanCritic(nn.Module):
    """A critic that finds bright images real and judges the modality by a fixed guess."""

    def __init__(self, guess: int = 0, confidence: float = 2.0) -> None:
        super().__init__()
        self.logits = torch.zeros(4)
        self.logits[guess] = confidence

    def forward(self, image: Tensor) -> Judgement:
        return Judgement(image.mean(dim=(1, 2, 3), keepdim=True), self.logits.expand(len(image), 4))


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


def critic_terms(critic: nn.Module, real: Tensor, fake: Tensor, source: Tensor) -> dict[LossTerm, Tensor]:
    return WassersteinLoss().critic(critic, real, fake, source, (source + 1) % 4)


def generator_terms(critic: nn.Module, fake: Tensor, target: Tensor) -> dict[LossTerm, Tensor]:
    return WassersteinLoss().generator(critic, fake, target)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, 3.0])
def test_penalty_of_slope_k_is_k_minus_1_squared(slope: float) -> None:
    penalty = gradient_penalty(LinearCritic(slope), torch.randn(3, 1, 8, 8), torch.randn(3, 1, 8, 8))
    assert penalty.item() == pytest.approx((slope - 1) ** 2, abs=1e-5)


def test_penalty_is_a_mean_over_samples_not_the_norm_of_the_batch() -> None:
    for count in (1, 5):
        penalty = gradient_penalty(LinearCritic(3.0), images(0.0, count), images(1.0, count))
        assert penalty.item() == pytest.approx(4.0, abs=1e-5)


def test_penalty_looks_between_real_and_fake_at_one_place_per_sample() -> None:
    torch.manual_seed(0)
    critic = LinearCritic(1.0)
    gradient_penalty(critic, images(1.0, 16), images(-1.0, 16))
    (between,) = critic.seen
    place = between.flatten(1)
    assert bool((place.amax(dim=1) == place.amin(dim=1)).all())
    assert bool((place.abs() <= 1).all())
    assert len(place[:, 0].unique()) == 16


def test_penalty_gives_the_critic_a_gradient_towards_slope_1() -> None:
    for slope, sign in ((3.0, 1), (0.3, -1)):
        critic = LinearCritic(slope)
        gradient_penalty(critic, torch.randn(3, 1, 8, 8), torch.randn(3, 1, 8, 8)).backward()
        assert critic.direction.grad is not None
        assert sign * (critic.direction.grad @ critic.direction).item() > 0


def test_penalty_is_zero_gradient_free_for_the_fake() -> None:
    fake = torch.randn(3, 1, 8, 8, requires_grad=True)
    gradient_penalty(LinearCritic(2.0), torch.randn(3, 1, 8, 8), fake).backward()
    assert fake.grad is None


def test_critic_terms_are_named_and_scalar() -> None:
    terms = critic_terms(MeanCritic(), *_leaf_pair(), torch.tensor([0, 1, 2]))
    assert set(terms) == {
        LossTerm.CRITIC_REAL,
        LossTerm.CRITIC_FAKE,
        LossTerm.CRITIC_MODALITY,
        LossTerm.CRITIC_GRADIENT_PENALTY,
    }
    assert all(term.shape == () for term in terms.values())


def _leaf_pair() -> tuple[Tensor, Tensor]:
    return torch.randn(3, 1, 8, 8), torch.randn(3, 1, 8, 8)


def test_fake_that_looks_more_real_costs_the_critic_more_and_the_generator_less() -> None:
    source, critic = torch.zeros(3, dtype=torch.long), MeanCritic()
    poor, good = (critic_terms(critic, images(0.5), images(value), source) for value in (-0.5, 0.4))
    assert good[LossTerm.CRITIC_FAKE] > poor[LossTerm.CRITIC_FAKE]
    assert good[LossTerm.CRITIC_REAL] == poor[LossTerm.CRITIC_REAL]
    poor, good = (generator_terms(critic, images(value), source) for value in (-0.5, 0.4))
    assert good[LossTerm.ADVERSARIAL] < poor[LossTerm.ADVERSARIAL]


def test_real_that_looks_more_real_costs_the_critic_less() -> None:
    source, critic = torch.zeros(3, dtype=torch.long), MeanCritic()
    dull, bright = (critic_terms(critic, images(value), images(0.0), source) for value in (-0.5, 0.4))
    assert bright[LossTerm.CRITIC_REAL] < dull[LossTerm.CRITIC_REAL]
    assert bright[LossTerm.CRITIC_REAL].item() == pytest.approx(-0.4)


def test_right_modality_costs_both_players_less_than_a_wrong_one() -> None:
    modality = torch.full((3,), 2)
    right, wrong = MeanCritic(guess=2), MeanCritic(guess=1)
    assert (
        critic_terms(right, images(0.0), images(0.1), modality)[LossTerm.CRITIC_MODALITY]
        < critic_terms(wrong, images(0.0), images(0.1), modality)[LossTerm.CRITIC_MODALITY]
    )
    assert (
        generator_terms(right, images(0.0), modality)[LossTerm.MODALITY]
        < generator_terms(wrong, images(0.0), modality)[LossTerm.MODALITY]
    )


def test_modality_term_is_the_cross_entropy() -> None:
    terms = generator_terms(MeanCritic(guess=1, confidence=1.5), images(0.0), torch.tensor([1, 1, 1]))
    assert terms[LossTerm.MODALITY].item() == pytest.approx(-1.5 + math.log(math.exp(1.5) + 3), rel=1e-5)


def test_critic_learns_the_modality_of_real_images_only() -> None:
    class BrightIsT1(nn.Module):
        def forward(self, image: Tensor) -> Judgement:
            mean = image.mean(dim=(1, 2, 3))
            logits = torch.stack([torch.zeros_like(mean), 10 * mean, torch.zeros_like(mean), mean * 0], dim=1)
            return Judgement(mean[:, None, None, None], logits)

    source = torch.ones(3, dtype=torch.long)
    terms = critic_terms(BrightIsT1(), images(1.0), images(-1.0), source)
    assert terms[LossTerm.CRITIC_MODALITY].item() < 1e-3


def test_critic_terms_give_the_generator_no_gradient() -> None:
    fake = torch.randn(3, 1, 8, 8, requires_grad=True)
    critic = LinearCritic(2.0)
    terms = critic_terms(critic, torch.randn(3, 1, 8, 8), fake, torch.zeros(3, dtype=torch.long))
    torch.stack(list(terms.values())).sum().backward()
    assert fake.grad is None
    assert critic.direction.grad is not None


def test_adversarial_term_alone_gives_the_generator_a_gradient() -> None:
    torch.manual_seed(0)
    generator, critic = TumourAwareGenerator(2), ModalityCritic((32, 32), 2, layers=4)
    image = torch.rand(2, 1, 32, 32)
    translation = generator(image, image, torch.tensor([0, 1]))
    generator_terms(critic, translation.image, torch.tensor([0, 1]))[LossTerm.ADVERSARIAL].backward()
    for part in (generator.image_encoder, generator.tumour_encoder, generator.fusion, generator.image_decoder):
        assert part is not None
        assert sum(weight.grad.abs().sum().item() for weight in part.parameters() if weight.grad is not None) > 0


def test_critic_wants_1_for_real_and_0_for_fake() -> None:
    terms = LeastSquaresLoss().critic(BrightnessCritic(), images(0.25), images(0.25), of(T1), of(T2))
    assert terms[LossTerm.CRITIC_REAL].item() == pytest.approx(0)  # as a T1, it is one
    assert terms[LossTerm.CRITIC_FAKE].item() == pytest.approx(0.5**2)  # as a T2, it is half of one
    assert terms[LossTerm.CRITIC_MODALITY].item() == pytest.approx(math.log(4))
    assert LossTerm.CRITIC_GRADIENT_PENALTY not in terms


def test_copy_of_a_real_image_is_not_real_as_another_modality() -> None:
    critic = BrightnessCritic()
    copied, translated = (LeastSquaresLoss().generator(critic, images(value), of(T2)) for value in (0.25, 0.75))
    assert copied[LossTerm.ADVERSARIAL].item() == pytest.approx(0.5**2)
    assert translated[LossTerm.ADVERSARIAL].item() == pytest.approx(0)
    assert translated[LossTerm.MODALITY].item() == pytest.approx(math.log(4))


def test_each_image_is_judged_by_the_map_of_its_own_modality() -> None:
    maps = torch.arange(2 * 4 * 2 * 3).reshape(2, 4, 2, 3)
    chosen = realness_as(Judgement(maps, torch.zeros(2, 4)), torch.tensor([2, 0]))
    assert torch.equal(chosen, torch.stack([maps[0, 2], maps[1, 0]]))


def test_least_squares_of_a_critic_give_the_generator_no_gradient() -> None:
    torch.manual_seed(0)
    fake, critic = (
        torch.randn(3, 1, 32, 32, requires_grad=True),
        ModalityCritic((32, 32), 2, layers=4, game="least_squares"),
    )
    terms = LeastSquaresLoss().critic(critic, torch.randn(3, 1, 32, 32), fake, of(T1), of(T2))
    torch.stack(list(terms.values())).sum().backward()
    assert fake.grad is None
    assert all(weight.grad is not None for weight in critic.parameters())


def test_least_squares_term_alone_gives_the_generator_a_gradient() -> None:
    torch.manual_seed(0)
    generator, critic = (
        TumourAwareGenerator(2),
        ModalityCritic((32, 32), 2, layers=4, game=AdversarialGame.LEAST_SQUARES),
    )
    image = torch.rand(2, 1, 32, 32)
    translation = generator(image, image, of(T2, 2))
    LeastSquaresLoss().generator(critic, translation.image, of(T2, 2))[LossTerm.ADVERSARIAL].backward()
    assert sum(w.grad.abs().sum().item() for w in generator.image_decoder.parameters() if w.grad is not None) > 0


def test_a_game_has_its_loss() -> None:
    assert isinstance(loss_of_game("wasserstein"), WassersteinLoss)
    assert isinstance(loss_of_game(AdversarialGame.LEAST_SQUARES), LeastSquaresLoss)
    with pytest.raises(ValueError, match="chess"):
        loss_of_game("chess")


def test_hinge_costs_a_critic_nothing_beyond_the_margin() -> None:
    class Scaled(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.scale = scale

        def forward(self, image: Tensor) -> Judgement:
            realness = self.scale * image.mean(dim=(1, 2, 3))
            return Judgement(realness[:, None, None, None].expand(-1, 4, 1, 1), torch.zeros(len(image), 4))

    source, target = of(T1), of(T2)
    sure = HingeLoss().critic(Scaled(3.0), images(0.5), images(-0.5), source, target)
    assert (float(sure[LossTerm.CRITIC_REAL]), float(sure[LossTerm.CRITIC_FAKE])) == (0.0, 0.0)
    unsure = HingeLoss().critic(Scaled(1.0), images(0.5), images(-0.5), source, target)
    assert (float(unsure[LossTerm.CRITIC_REAL]), float(unsure[LossTerm.CRITIC_FAKE])) == (0.5, 0.5)
    wrong = HingeLoss().critic(Scaled(-1.0), images(0.5), images(-0.5), source, target)
    assert float(wrong[LossTerm.CRITIC_REAL]) > float(unsure[LossTerm.CRITIC_REAL])


def test_hinge_asks_the_realness_of_the_modality_that_was_asked_for() -> None:
    near, far = (HingeLoss().generator(BrightnessCritic(), images(0.75), of(modality)) for modality in (3, 0))
    assert float(near[LossTerm.ADVERSARIAL]) == pytest.approx(-1)
    assert float(far[LossTerm.ADVERSARIAL]) > float(near[LossTerm.ADVERSARIAL])


def test_hinge_of_a_critic_gives_the_generator_no_gradient_and_is_chosen_by_name() -> None:
    fake, critic = torch.randn(3, 1, 32, 32, requires_grad=True), ModalityCritic((32, 32), 2, layers=4, game="hinge")
    terms = loss_of_game("hinge").critic(critic, torch.randn(3, 1, 32, 32), fake, of(T1), of(T2))
    sum(terms.values(), torch.zeros(())).backward()
    assert fake.grad is None
    assert isinstance(loss_of_game(AdversarialGame.HINGE), HingeLoss)
