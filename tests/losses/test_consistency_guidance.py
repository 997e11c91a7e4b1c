"""Guidance: what follows moves, inside the tumour alone, and what it follows stays."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from utad_monai.losses import tumour_guidance_loss


@pytest.fixture
def mask() -> Tensor:
    """A tumour of one pixel, and one of sixteen."""
    mask = torch.zeros(2, 1, 16, 16)
    mask[0, :, 3, 5] = 1
    mask[1, :, 4:8, 4:8] = 1
    return mask


@pytest.fixture
def guide(image: Tensor) -> Tensor:
    return image + torch.tensor([0.5, 0.1])[:, None, None, None]


def test_small_tumours_count_as_much_as_large_ones(image: Tensor, guide: Tensor, mask: Tensor) -> None:
    assert tumour_guidance_loss(image, guide, mask).item() == pytest.approx((0.5 + 0.1) / 2, rel=1e-5)


def test_what_lies_outside_the_tumour_does_not_count(image: Tensor, mask: Tensor) -> None:
    assert tumour_guidance_loss(image, image + 0.5 * (1 - mask), mask).item() == 0


def test_the_image_moves_inside_the_tumour_and_the_guide_stays(image: Tensor, guide: Tensor, mask: Tensor) -> None:
    following, leading = image.clone().requires_grad_(), guide.clone().requires_grad_()
    tumour_guidance_loss(following, leading, mask).backward()
    assert leading.grad is None
    assert following.grad is not None
    assert bool((following.grad[mask > 0] < 0).all())
    assert bool((following.grad[mask == 0] == 0).all())


def test_a_sample_without_tumour_counts_nothing(image: Tensor, guide: Tensor) -> None:
    following = image.clone().requires_grad_()
    loss = tumour_guidance_loss(following, guide, torch.zeros_like(image))
    loss.backward()
    assert loss.item() == 0
    assert following.grad is not None
    assert following.grad.abs().sum().item() == 0


def test_a_batch_costs_the_mean_of_its_parts(image: Tensor, guide: Tensor, mask: Tensor) -> None:
    parts = zip(image.split(1), guide.split(1), mask.split(1), strict=True)
    mean = sum(tumour_guidance_loss(*part).item() for part in parts) / len(image)
    assert tumour_guidance_loss(image, guide, mask).item() == pytest.approx(mean, rel=1e-5)
