"""The critic has the paper's size, slopes and heads."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from utad_monai.keys import AdversarialGame
from utad_monai.networks import ModalityCritic, critic_pair


def test_paper_size_has_44_8_million_parameters() -> None:
    with torch.device("meta"):
        critic = ModalityCritic((128, 128))
    assert round(sum(weight.numel() for weight in critic.parameters()) / 1e6, 1) == 44.8


@pytest.mark.parametrize(
    ("size", "layers", "remaining"), [((32, 32), 4, (2, 2)), ((80, 64), 4, (5, 4)), ((96, 80), 6, (1, 1))]
)
def test_outputs_are_a_realness_map_and_four_logits(
    size: tuple[int, int], layers: int, remaining: tuple[int, int]
) -> None:
    judged = ModalityCritic(size, 2, layers=layers)(torch.randn(3, 1, *size))
    assert judged.realness.shape == (3, 1, *remaining)
    assert judged.modality_logits.shape == (3, 4)


def test_layers_are_strided_4x4_convolutions_that_double_their_width() -> None:
    features = ModalityCritic((32, 32), 2, layers=4).features
    convolutions = [module for module in features if isinstance(module, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [2, 4, 8, 16]
    assert {(m.kernel_size, m.stride, m.padding) for m in convolutions} == {((4, 4), (2, 2), (1, 1))}


def test_slope_is_0_001_after_the_first_layer_and_0_01_after_the_others() -> None:
    slopes = [m.negative_slope for m in ModalityCritic((32, 32), 2, layers=4).modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.001, 0.01, 0.01, 0.01]


def test_heads_have_no_bias() -> None:
    critic = ModalityCritic((32, 32), 2, layers=4)
    assert critic.realness.bias is None
    assert critic.modality.bias is None
    assert (critic.realness.kernel_size, critic.modality.kernel_size) == ((3, 3), (2, 2))


def test_realness_is_unbounded() -> None:
    critic = ModalityCritic((32, 32), 2, layers=4)
    with torch.no_grad():
        critic.realness.weight.fill_(100)
        critic.features[-2].bias.fill_(10)
        realness = critic(torch.zeros(1, 1, 32, 32)).realness
    assert realness.max().item() > 100


@pytest.mark.parametrize("size", [(8, 32), (32, 15)])
def test_size_that_is_too_small_for_the_layers_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 16 for 4 layers"):
        ModalityCritic(size, 2, layers=4)


@pytest.mark.parametrize("game", AdversarialGame)
def test_description_rebuilds_the_network(game: AdversarialGame) -> None:
    critic = ModalityCritic((32, 48), 2, layers=3, game=game)
    assert critic.description() == {
        **{"image_size": [32, 48], "base_channels": 2, "layers": 3},
        "game": str(game),
    }
    rebuilt = ModalityCritic(**critic.description())
    rebuilt.load_state_dict(critic.state_dict())
    image = torch.randn(1, 1, 32, 48)
    torch.testing.assert_close(rebuilt(image), critic(image))


def test_description_of_former_versions_means_the_papers_game() -> None:
    assert ModalityCritic(image_size=[32, 48], base_channels=2, layers=3).game is AdversarialGame.WASSERSTEIN


def test_least_squares_critic_has_a_realness_map_for_each_modality() -> None:
    judged = ModalityCritic((80, 64), 2, layers=4, game=AdversarialGame.LEAST_SQUARES)(torch.randn(3, 1, 80, 64))
    assert judged.realness.shape == (3, 4, 5, 4)
    assert judged.modality_logits.shape == (3, 4)


def test_least_squares_critic_normalises_every_layer_but_the_first() -> None:
    features = ModalityCritic((32, 32), 2, layers=4, game=AdversarialGame.LEAST_SQUARES).features
    kinds = [type(layer) for layer in features]
    assert kinds == [nn.Conv2d, nn.LeakyReLU, *3 * [nn.Conv2d, nn.GroupNorm, nn.LeakyReLU]]
    planes = nn.Sequential(*list(features)[:4])(torch.randn(2, 1, 32, 32))
    torch.testing.assert_close(planes.mean(dim=(2, 3)), torch.zeros(2, 4), atol=1e-5, rtol=0)


def test_judgement_of_an_image_does_not_depend_on_the_others_of_its_batch() -> None:
    torch.manual_seed(0)
    critic, images = (
        ModalityCritic((32, 32), 2, layers=4, game=AdversarialGame.LEAST_SQUARES),
        torch.randn(3, 1, 32, 32),
    )
    torch.testing.assert_close(critic(images).realness[:1], critic(images[:1]).realness)


def test_least_squares_with_a_single_pixel_left_are_refused() -> None:
    with pytest.raises(ValueError, match="leave one pixel of"):
        ModalityCritic((16, 31), 2, layers=4, game=AdversarialGame.LEAST_SQUARES)


def test_pair_has_one_architecture_and_different_weights() -> None:
    whole, tumour = critic_pair([32, 48], 2, 4)
    assert whole.description() == tumour.description()
    assert whole.image_size == (32, 48)
    assert not any(
        torch.equal(a, b) for a, b in zip(whole.parameters(), tumour.parameters(), strict=True) if a.dim() > 1
    )


def test_defaults_are_the_papers() -> None:
    with torch.device("meta"):
        whole, _ = critic_pair([128, 128])
    assert (whole.base_channels, whole.layers) == (64, 6)


def test_both_play_the_same_game() -> None:
    assert [critic.game for critic in critic_pair([32, 48], 2, 4, "least_squares")] == ["least_squares"] * 2


def test_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64"):
        critic_pair([96, 48])
