"""Conditions: each target and set of sources has its own scales and shifts, and starts from none."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from utad_monai.keys import Modality
from utad_monai.networks.conditioning import (
    SATURATION,
    GainHead,
    Modulation,
    condition_code,
    condition_codes,
    present_modalities,
)

SUBSETS = 2 ** len(Modality)
CODES = condition_codes(len(Modality))
ALL_SUBSETS = torch.tensor(list(product([False, True], repeat=len(Modality))))


def test_every_target_and_subset_has_a_code_of_its_own() -> None:
    targets = torch.arange(len(Modality)).repeat_interleave(SUBSETS)
    codes = condition_code(targets, ALL_SUBSETS.repeat(len(Modality), 1))
    assert codes.dtype == torch.int64
    assert sorted(codes.tolist()) == list(range(CODES))


def test_code_of_a_target_and_a_subset_stays_what_stored_weights_mean_by_it() -> None:
    present = torch.tensor([[False, False, False, False], [True, False, False, False], [False, True, False, True]])
    assert condition_code(torch.tensor([0, 1, 3]), present).tolist() == [0, 17, 58]


def test_modality_with_a_single_pixel_of_brain_is_present() -> None:
    images = torch.full((2, 4, 8, 8), -1.0)
    images[0, 1, 3, 5] = -0.99
    images[1, 3] = 0.2
    assert present_modalities(images, -1.0).tolist() == [[False, True, False, False], [False, False, False, True]]


def test_modulation_changes_nothing_at_the_start() -> None:
    features = torch.randn(3, 5, 4, 4)
    assert torch.equal(Modulation(CODES, 5)(features, torch.tensor([0, 7, CODES - 1])), features)


def test_modulation_scales_and_shifts_the_channels_of_its_own_code_alone() -> None:
    modulation = Modulation(3, 2)
    with torch.no_grad():
        modulation.table.weight[1] = torch.tensor([1.0, -0.5, 0.25, 3.0])
    features = torch.randn(2, 2, 4, 4)
    made = modulation(features, torch.tensor([0, 1]))
    assert torch.equal(made[0], features[0])
    torch.testing.assert_close(made[1, 0], 2 * features[1, 0] + 0.25)
    torch.testing.assert_close(made[1, 1], 0.5 * features[1, 1] + 3)


@pytest.mark.parametrize("code", [0, 41])
def test_only_the_codes_that_were_used_learn(code: int) -> None:
    modulation = Modulation(CODES, 2)
    modulation(torch.randn(1, 2, 4, 4), torch.tensor([code])).square().sum().backward()
    gradient = modulation.table.weight.grad
    assert gradient is not None
    assert gradient.abs().sum(dim=1).nonzero().flatten().tolist() == [code]


@pytest.fixture
def images() -> Tensor:
    """Two samples of four images: the first has them all, of the second two are absent."""
    torch.manual_seed(0)
    images = torch.rand(2, 4, 8, 8) * 1.8 - 0.9
    images[1, [0, 2]] = -1.0
    return images


def base(images: Tensor) -> Tensor:
    """Return the mean, in logits, of `(S, H, W)` images."""
    return torch.tanh(torch.atanh(SATURATION * images).mean(dim=0, keepdim=True))


def test_first_output_is_the_mean_in_logits_of_the_images_that_are_there(images: Tensor) -> None:
    made = GainHead(3, 4, codes=64)(torch.randn(2, 3, 8, 8), images, torch.tensor([5, 63]))
    torch.testing.assert_close(made[0], base(images[0]))
    torch.testing.assert_close(made[1], base(images[1, [1, 3]]))


def test_one_image_is_its_own_base(images: Tensor) -> None:
    made = GainHead(3, 1, codes=1)(torch.randn(2, 3, 8, 8), images[:, 1:2], None)
    torch.testing.assert_close(made, SATURATION * images[:, 1:2])


def test_absent_images_get_no_weight_whatever_was_learned(images: Tensor) -> None:
    head = GainHead(3, 4, codes=64)
    with torch.no_grad():
        head.mixture.weight[9] = torch.tensor([50.0, 0.0, 50.0, -50.0])
    made = head(torch.randn(2, 3, 8, 8), images, torch.tensor([9, 9]))
    torch.testing.assert_close(made[1], SATURATION * images[1, 1:2])


def test_no_image_at_all_gives_a_finite_one() -> None:
    made = GainHead(3, 4, codes=64)(torch.randn(1, 3, 8, 8), torch.full((1, 4, 8, 8), -1.0), torch.tensor([0]))
    assert bool(torch.isfinite(made).all())


def test_images_at_both_ends_of_the_range_give_finite_values_and_gradients() -> None:
    head = GainHead(3, 4, codes=64)
    images = torch.cat([torch.full((1, 4, 8, 4), -1.0), torch.ones(1, 4, 8, 4)], dim=3).requires_grad_()
    made = head(torch.randn(1, 3, 8, 8), images, torch.tensor([15]))
    made.sum().backward()
    assert bool(torch.isfinite(made).all())
    assert images.grad is not None
    assert all(
        bool(torch.isfinite(g).all()) for g in (images.grad, *(w.grad for w in head.parameters())) if g is not None
    )


def test_offset_and_gain_act_on_the_logits(images: Tensor) -> None:
    head = GainHead(3, 4, codes=64)
    with torch.no_grad():
        head.change.bias.copy_(torch.tensor([0.3, -0.5]))  # type: ignore[union-attr]
    made = head(torch.zeros(2, 3, 8, 8), images, torch.tensor([5, 63]))
    torch.testing.assert_close(made[0], torch.tanh(0.3 + 0.5 * torch.atanh(base(images[0]))))


def test_window_of_a_code_scales_and_shifts_its_base_alone(images: Tensor) -> None:
    head = GainHead(3, 4, codes=64)
    with torch.no_grad():
        head.window.weight[5] = torch.tensor([1.0, 0.2])
    made = head(torch.randn(2, 3, 8, 8), images, torch.tensor([5, 63]))
    torch.testing.assert_close(made[0], torch.tanh(2 * torch.atanh(base(images[0])) + 0.2))
    torch.testing.assert_close(made[1], base(images[1, [1, 3]]))


def test_every_weight_can_learn_from_the_start(images: Tensor) -> None:
    head = GainHead(3, 4, codes=64)
    (head(torch.randn(2, 3, 8, 8), images, torch.tensor([5, 63])) - 0.5).square().sum().backward()
    assert all(w.grad is not None and bool((w.grad != 0).any()) for w in head.parameters())
