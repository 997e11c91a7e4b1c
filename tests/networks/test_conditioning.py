"""Conditions: each target and set of sources has its own scales and shifts, and starts from none."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from utad_monai.keys import Modality
from utad_monai.networks.conditioning import CODES, SUBSETS, Modulation, condition_code, present_modalities

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
