"""Variety is 1 for the real images themselves and 0 where everything looks the same."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor

from utad_monai.keys import Modality
from utad_monai.metrics.variety import variety_of_inputs, variety_of_targets

PAIRS = list(permutations(Modality, 2))


@pytest.fixture
def reals() -> dict[Modality, list[Tensor]]:
    """Three patients, each modality with a look of its own."""
    draw = torch.Generator().manual_seed(0)
    return {m: [m.channel + 0.2 * torch.rand(5, generator=draw) for _ in range(3)] for m in Modality}


def test_real_images_have_the_variety_of_real_images(reals: dict[Modality, list[Tensor]]) -> None:
    fakes = {(source, target): reals[target] for source, target in PAIRS}
    assert variety_of_inputs(fakes, reals) == pytest.approx(1)
    assert 0.7 < variety_of_targets(fakes, reals) < 1.1


def test_one_look_for_all_targets_has_no_variety_of_targets(reals: dict[Modality, list[Tensor]]) -> None:
    fakes = {(source, target): reals[source] for source, target in PAIRS}
    assert variety_of_targets(fakes, reals) == pytest.approx(0, abs=1e-6)
    assert variety_of_inputs(fakes, reals) == pytest.approx(1)


def test_one_look_for_all_inputs_has_no_variety_of_inputs(reals: dict[Modality, list[Tensor]]) -> None:
    fakes = {(source, target): [reals[target][0]] * 3 for source, target in PAIRS}
    assert variety_of_inputs(fakes, reals) == pytest.approx(0, abs=1e-6)
    assert variety_of_targets(fakes, reals) > 0.7


def test_nothing_is_said_where_there_is_nothing_to_compare(reals: dict[Modality, list[Tensor]]) -> None:
    single = {m: [features[0]] for m, features in reals.items()}
    fakes = {(source, target): single[target] for source, target in PAIRS}
    assert math.isnan(variety_of_inputs(fakes, single))
    assert math.isnan(variety_of_targets({}, reals))
    assert math.isnan(variety_of_targets(fakes, {Modality.T1: reals[Modality.T1], Modality.T2: []}))


def test_what_is_not_known_of_a_tumour_is_passed_over(reals: dict[Modality, list[Tensor]]) -> None:
    for features in reals.values():
        features[0][4] = math.nan
    fakes = {(source, target): reals[target] for source, target in PAIRS}
    assert variety_of_inputs(fakes, reals) == pytest.approx(1)
