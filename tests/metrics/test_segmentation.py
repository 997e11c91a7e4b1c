"""Dice of the tumour regions follows the conventions of BraTS."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from utad_monai.keys import TumourRegion
from utad_monai.metrics import region_dice


def regions(whole: int = 0, core: int = 0, enhancing: int = 0) -> Tensor:
    """Return `(3, 2, 8, 8)` regions that fill the given numbers of pixels of every slice."""
    filled = torch.zeros(3, 2, 64)
    for region, count in zip(filled, (whole, core, enhancing), strict=True):
        region[:, :count] = 1
    return filled.reshape(3, 2, 8, 8)


def test_each_region_has_its_own_dice() -> None:
    dice = region_dice(regions(40, 20, 10), regions(40, 10, 30))
    assert dice == pytest.approx({TumourRegion.WT: 1.0, TumourRegion.TC: 2 / 3, TumourRegion.ET: 0.5})


def test_both_empty_counts_1() -> None:
    assert region_dice(regions(10), regions(10)) == {TumourRegion.WT: 1, TumourRegion.TC: 1, TumourRegion.ET: 1}


@pytest.mark.parametrize("missed", [True, False])
def test_one_empty_counts_0(missed: bool) -> None:
    pair = regions(10, 10, 0), regions(10, 10, 5)
    dice = region_dice(*(pair if missed else reversed(pair)))
    assert dice[TumourRegion.ET] == 0
    assert dice[TumourRegion.TC] == 1


def test_dice_is_of_the_whole_volume_and_not_a_mean_of_slices() -> None:
    predicted, truth = regions(10), regions(10)
    predicted[0, 1] = 0
    assert region_dice(predicted, truth)[TumourRegion.WT] == pytest.approx(2 * 10 / 30)


def test_values_are_plain_floats() -> None:
    assert {type(value) for value in region_dice(regions(3, 2, 1), regions(4, 3, 2)).values()} == {float}
