"""The appearance distance needs no pairs, is zero for the same look and grows with every difference."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor

from utad_monai.keys import Modality
from utad_monai.metrics.unpaired import (
    appearance_distance,
    appearance_features,
    variety_of_inputs,
    variety_of_targets,
)


def brain(seed: int = 0, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    """Return slices `(3, 24, 24)` with a random texture in the middle and background around it."""
    draw = torch.Generator().manual_seed(seed)
    slices = torch.full((3, 24, 24), -1.0)
    slices[:, 4:20, 4:20] = (torch.rand(3, 16, 16, generator=draw) - 0.5) * scale * 0.6 + shift
    return slices


@pytest.fixture
def mask() -> Tensor:
    mask = torch.zeros(3, 24, 24)
    mask[1, 8:12, 8:12] = 1
    return mask


def test_features_are_finite_and_of_fixed_length(mask: Tensor) -> None:
    features = appearance_features(brain(), mask)
    assert features.shape == (57,)
    assert bool(torch.isfinite(features).all())


def test_distance_is_0_for_the_same_volumes(mask: Tensor) -> None:
    features = [appearance_features(brain(seed), mask) for seed in range(3)]
    assert appearance_distance(features, list(reversed(features))) == pytest.approx(0, abs=1e-7)


def test_distance_grows_with_an_intensity_shift(mask: Tensor) -> None:
    real = [appearance_features(brain(), mask)]
    distances = [appearance_distance([appearance_features(brain(shift=s), mask)], real) for s in (0, 0.1, 0.2, 0.4)]
    assert distances == sorted(distances)
    assert distances[0] == 0
    assert distances[2] == pytest.approx(2 * distances[1], rel=1e-4)


def test_shift_of_intensity_counts_in_brain_and_tumour_but_not_in_edges(mask: Tensor) -> None:
    difference = appearance_features(brain(shift=0.2), mask) - appearance_features(brain(), mask)
    expected = torch.cat([torch.full((19,), 0.2), torch.zeros(19), torch.full((19,), 0.2)])
    torch.testing.assert_close(difference, expected, rtol=0, atol=1e-6)


def test_blur_counts_in_the_edges(mask: Tensor) -> None:
    sharp, flat = appearance_features(brain(scale=1), mask), appearance_features(brain(scale=0.1), mask)
    assert bool((sharp[20:38] > flat[20:38]).all())


def test_distance_needs_no_pairing(mask: Tensor) -> None:
    patients = [appearance_features(brain(seed), mask) for seed in range(4)]
    others = [appearance_features(brain(seed), mask) for seed in range(10, 13)]
    elsewhere = [appearance_features(brain(seed, shift=0.3), mask) for seed in range(10, 13)]
    assert appearance_distance(patients, others) < 0.1 * appearance_distance(patients, elsewhere)


def test_place_does_not_matter(mask: Tensor) -> None:
    moved = appearance_features(brain().roll(3, dims=2), mask.roll(3, dims=2))
    torch.testing.assert_close(moved, appearance_features(brain(), mask))


def test_background_is_no_part_of_the_look(mask: Tensor) -> None:
    padded = torch.nn.functional.pad(brain(), [8] * 4, value=-1.0)
    features = appearance_features(padded, torch.nn.functional.pad(mask, [8] * 4))
    torch.testing.assert_close(features, appearance_features(brain(), mask))


def test_without_tumour_the_rest_is_compared(mask: Tensor) -> None:
    empty = torch.zeros_like(mask)
    features = appearance_features(brain(), empty)
    assert bool(features[38:].isnan().all())
    assert bool(features[:38].isfinite().all())
    assert appearance_distance([features], [appearance_features(brain(shift=0.2), empty)]) == pytest.approx(
        0.1, rel=1e-4
    )
    plain = appearance_features(brain(), mask)
    assert appearance_distance([features, plain], [plain]) == 0
    other_tumour = plain.clone()
    other_tumour[38:] += 0.3
    for fakes, reals in (([features, other_tumour], [plain]), ([plain], [features, other_tumour])):
        assert appearance_distance(fakes, reals) == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("empty", ["fakes", "reals"])
def test_empty_side_is_refused(mask: Tensor, empty: str) -> None:
    one = [appearance_features(brain(), mask)]
    with pytest.raises(ValueError, match="at least one"):
        appearance_distance(*(([], one) if empty == "fakes" else (one, [])))


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
