"""Absent modalities in training: at least one stays, the rest is what an evaluation fills gaps with."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from utad_monai.keys import BatchKey, Modality
from utad_monai.metrics.downstream import replace
from utad_monai.transforms import RandDropModalitiesd, present_channels

Sample = dict[str, Tensor]


@pytest.fixture
def sample() -> Sample:
    images = torch.rand(4, 8, 6) - 0.5
    images[:, 0] = -1
    return {BatchKey.IMAGE: images, BatchKey.LABEL: torch.ones(3, 8, 6)}


def test_every_set_that_leaves_and_lacks_a_modality_is_drawn_as_often(sample: Sample) -> None:
    transform = RandDropModalitiesd("image", prob=1.0).set_random_state(seed=0)
    drawn = [tuple(present_channels(transform(sample)[BatchKey.IMAGE])) for _ in range(1400)]
    sets = {tuple(c for c in range(4) if kept[c]) for kept in product((0, 1), repeat=4)} - {(), (0, 1, 2, 3)}
    assert set(drawn) == sets
    assert all(70 <= drawn.count(chosen) <= 130 for chosen in sets)


def test_an_absent_modality_is_what_an_evaluation_fills_with_zeros(sample: Sample) -> None:
    transform = RandDropModalitiesd("image", prob=1.0).set_random_state(seed=1)
    before = sample[BatchKey.IMAGE].clone()
    made = transform(sample)
    kept = present_channels(made[BatchKey.IMAGE])
    filled = dict(zip(Modality, before, strict=True))
    for modality in Modality:
        if modality.channel not in kept:
            filled = replace(filled, modality, None)
    assert torch.equal(made[BatchKey.IMAGE], torch.stack(list(filled.values())))
    assert torch.equal(sample[BatchKey.IMAGE], before)
    assert made[BatchKey.LABEL] is sample[BatchKey.LABEL]


@pytest.mark.parametrize(("prob", "least", "most"), [(0.0, 0, 0), (0.3, 90, 150), (1.0, 400, 400)])
def test_the_share_of_samples_that_lack_something_is_the_one_asked_for(
    sample: Sample, prob: float, least: int, most: int
) -> None:
    transform = RandDropModalitiesd("image", prob).set_random_state(seed=2)
    lacking = sum(len(present_channels(transform(sample)[BatchKey.IMAGE])) < 4 for _ in range(400))
    assert least <= lacking <= most


def test_a_network_of_one_modality_keeps_it() -> None:
    images = torch.zeros(1, 4, 4)
    transform = RandDropModalitiesd("image", prob=1.0).set_random_state(seed=0)
    assert all(torch.equal(transform({"image": images})["image"], images) for _ in range(20))


def test_two_keys_lack_the_same_modalities(sample: Sample) -> None:
    transform = RandDropModalitiesd(["image", "other"], prob=1.0).set_random_state(seed=0)
    made = transform(sample | {"other": sample[BatchKey.IMAGE]})
    assert torch.equal(made["image"], made["other"])


def test_the_same_seed_draws_the_same(sample: Sample) -> None:
    def draw() -> list[list[int]]:
        transform = RandDropModalitiesd("image").set_random_state(seed=7)
        return [present_channels(transform(sample)[BatchKey.IMAGE]) for _ in range(20)]

    assert draw() == draw()


def test_a_missing_key_is_skipped_where_that_is_allowed(sample: Sample) -> None:
    assert RandDropModalitiesd("x", prob=1.0, allow_missing_keys=True)(sample) == sample
    with pytest.raises(KeyError):
        RandDropModalitiesd("x", prob=1.0)(sample)


@pytest.mark.parametrize("prob", [-0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused(prob: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        RandDropModalitiesd("image", prob)
