"""What a network must beat: a flat brain and fitted maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from utad_monai.contrast import YARDSTICK_PROTOCOL, ContrastMaps, FlatBrain, fit_yardsticks, not_beaten
from utad_monai.keys import ImageSource, Modality


def test_the_brain_carries_the_mean_and_the_background_stays() -> None:
    image = torch.tensor([[[-1.0, 0.3], [0.9, -1.0]]])
    made = FlatBrain({Modality.T2: -0.25})({Modality.T1: image}, Modality.T2)
    assert made.tolist() == [[[-1.0, -0.25], [-0.25, -1.0]]]


def test_a_modality_without_a_mean_lies_in_the_middle_of_its_window() -> None:
    made = FlatBrain({})({Modality.T1: torch.zeros(1, 2, 2)}, Modality.FLAIR)
    assert made.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]


def test_brain_is_what_is_brain_in_any_image() -> None:
    images = {Modality.T1: torch.tensor([[[0.5, -1.0, -1.0]]]), Modality.T2: torch.tensor([[[-1.0, 0.5, -1.0]]])}
    assert FlatBrain({Modality.FLAIR: 0.125})(images, Modality.FLAIR).tolist() == [[[0.125, 0.125, -1.0]]]


MAP = {"ssim": 0.5, "tumour_ssim": 0.3, "tumour_mae": 0.2, "mae": 0.1}


def test_the_yardsticks_are_fitted_and_said_what_they_are(cohort: Callable[..., Any]) -> None:
    store, cases = cohort([tuple(Modality)] * 3)
    yardsticks = fit_yardsticks(store, cases)
    assert list(map(str, yardsticks)) == list(YARDSTICK_PROTOCOL)
    flat, unpaired, paired = yardsticks.values()
    assert isinstance(flat, FlatBrain)
    assert isinstance(unpaired, ContrastMaps)
    assert isinstance(paired, ContrastMaps)
    assert (unpaired.paired, paired.paired) == (False, True)
    assert "USES PAIRS" in YARDSTICK_PROTOCOL[ImageSource.PAIRED_CONTRAST_MAP]
    image = torch.from_numpy(store.image("P0", Modality.T1)[:].astype("float32"))
    for make in yardsticks.values():
        made = make({Modality.T1: image}, Modality.T2, None)
        assert torch.equal(made > -1, image > -1)


def test_a_yardstick_of_a_cohort_with_one_modality_does_not_fail(cohort: Callable[..., Any]) -> None:
    store, cases = cohort([(Modality.T1,)] * 3)
    for make in fit_yardsticks(store, cases).values():
        assert math.isfinite(float(make({Modality.T1: torch.rand(2, 8, 8)}, Modality.T2, None).sum()))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"ssim": 0.6, "tumour_ssim": 0.4, "tumour_mae": 0.1}, []),
        ({}, ["ssim", "tumour_ssim", "tumour_mae"]),
        ({"ssim": 0.6, "tumour_mae": 0.1, "mae": 0.9}, ["tumour_ssim"]),
        ({"ssim": 0.6, "tumour_ssim": None, "tumour_mae": 0.3}, ["tumour_mae"]),
    ],
)
def test_what_is_no_better_than_the_map_is_named(changed: dict[str, float | None], expected: list[str]) -> None:
    assert not_beaten(MAP | changed, MAP) == expected
