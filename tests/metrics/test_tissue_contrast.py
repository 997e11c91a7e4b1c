"""Tissue contrast tells a right image from a flat one, a faint one and one that is turned over."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.ndimage import binary_erosion
from torch import Tensor

from utad_monai.metrics.tissue_contrast import TISSUE_PROTOCOL, tissue_classes, tissue_contrast

LEVELS = (-0.6, 0.1, 0.7)
NO_TUMOUR = torch.zeros(3, 60, 60)


@pytest.fixture
def real() -> Tensor:
    """Give three noisy tissues of different size inside background."""
    draw = torch.Generator().manual_seed(0)
    image = torch.full((3, 12, 12), -1.0)
    for place, level in enumerate(LEVELS):
        rows = slice(1 + 3 * place, 4 + 3 * place)
        image[:, rows, 1 : 5 + 3 * place] = level + 0.05 * torch.randn(3, 3, 4 + 3 * place, generator=draw)
    return finer(image)


def finer(image: Tensor) -> Tensor:
    """Make each pixel five by five: the border that is not measured is two of them."""
    return image.repeat_interleave(5, dim=-1).repeat_interleave(5, dim=-2)


def test_the_real_image_has_the_right_order_and_a_ratio_of_one(real: Tensor) -> None:
    assert tissue_contrast(real, real, NO_TUMOUR) == {"tissue_order": 1, "tissue_contrast": pytest.approx(1)}


def test_classes_are_the_tissues(real: Tensor) -> None:
    brain = real > -1
    wanted = torch.bucketize(real[brain], torch.tensor([-0.25, 0.4]))
    assert torch.equal(tissue_classes(real[brain]), wanted)


def test_half_the_contrast_is_a_ratio_of_one_half_in_the_right_order(real: Tensor) -> None:
    faint = torch.where(real > -1, real / 2, real)
    assert tissue_contrast(real, faint, NO_TUMOUR) == {"tissue_order": 1, "tissue_contrast": pytest.approx(0.5)}


def test_a_turned_contrast_has_the_wrong_order_and_a_negative_ratio(real: Tensor) -> None:
    turned = torch.where(real > -1, -real, real)
    assert tissue_contrast(real, turned, NO_TUMOUR) == {"tissue_order": 0, "tissue_contrast": pytest.approx(-1)}


def test_a_flat_brain_has_no_order_and_no_contrast(real: Tensor) -> None:
    flat = torch.where(real > -1, 0.2, real)
    assert tissue_contrast(real, flat, NO_TUMOUR) == {"tissue_order": 0, "tissue_contrast": pytest.approx(0)}


def test_a_flat_brain_that_ends_elsewhere_has_no_order_either(real: Tensor) -> None:
    flat = torch.where(real > -1, 0.2, -1.0)
    flat[:, 5:15], flat[:, 20:25] = -1, -1  # two thirds of the darkest tissue are cut away, a third of the next
    assert tissue_contrast(real, flat, NO_TUMOUR) == {"tissue_order": 0, "tissue_contrast": pytest.approx(0)}


def test_an_image_without_brain_has_neither(real: Tensor) -> None:
    empty = torch.full_like(real, -1.0)
    assert tissue_contrast(real, empty, NO_TUMOUR) == {"tissue_order": 0, "tissue_contrast": 0}


def test_two_tissues_that_change_places_break_the_order_though_the_ratio_is_kept(real: Tensor) -> None:
    swapped = torch.where((real > -0.25) & (real < 0.4), real - 0.9, real)
    measured = tissue_contrast(real, swapped, NO_TUMOUR)
    assert measured["tissue_order"] == 0
    assert measured["tissue_contrast"] == pytest.approx(1)


def test_the_tumour_is_left_out(real: Tensor) -> None:
    mask = torch.zeros_like(real)
    mask[:, :20] = 1
    shown = torch.where(mask > 0, torch.tensor(0.95), real)
    assert tissue_contrast(shown, torch.where(mask > 0, -0.9, real), mask) == tissue_contrast(shown, shown, mask)


def test_a_border_of_stripped_skull_is_no_tissue(real: Tensor) -> None:
    """Where tissues hardly differ, the dark border of the brain would be a class of its own."""
    brain = real > -1
    one_pixel = torch.ones(1, 3, 3, dtype=torch.bool).numpy()
    inside = torch.from_numpy(binary_erosion(brain.numpy(), one_pixel))
    alike = torch.where(brain, 0.5 + 0.1 * real, real)
    stripped, other = (torch.where(brain & ~inside, border, alike) for border in (-0.99, 0.99))
    assert tissue_contrast(stripped, other, NO_TUMOUR) == {"tissue_order": 1, "tissue_contrast": pytest.approx(1)}


def test_what_has_no_three_classes_is_not_measured(real: Tensor) -> None:
    for image in (torch.full_like(real, -1.0), torch.where(real > -1, 0.3, -1.0)):
        assert all(math.isnan(value) for value in tissue_contrast(image, image, NO_TUMOUR).values())


def test_different_shapes_are_refused(real: Tensor) -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        tissue_contrast(real, real[:2], NO_TUMOUR)


def test_the_protocol_names_every_measure_and_the_order_of_tissues() -> None:
    assert set(tissue_contrast(NO_TUMOUR, NO_TUMOUR, NO_TUMOUR)) < set(TISSUE_PROTOCOL)
    assert "t2: white matter, grey matter, CSF" in TISSUE_PROTOCOL["tissue_classes"]
