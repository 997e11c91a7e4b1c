"""Cycle, local consistency and identity: zero when all is well, and of the right size when it is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from utad_monai.losses import cycle_loss, identity_loss, local_consistency_loss
from utad_monai.networks import Translation
from utad_monai.transforms import mask_tumour

FEATURES = torch.zeros(2, 32, 1, 1)


@pytest.fixture
def mask() -> Tensor:
    mask = torch.zeros(2, 1, 16, 16)
    mask[:, :, 4:8, 4:12] = 1
    return mask


def test_cycle_is_the_mean_absolute_error(image: Tensor) -> None:
    assert cycle_loss(image, image).item() == 0
    assert cycle_loss(image, image + 0.25).item() == pytest.approx(0.25, rel=1e-5)


def test_cycle_pulls_the_reconstruction_towards_the_image(image: Tensor) -> None:
    reconstructed = (image + 0.5).requires_grad_()
    cycle_loss(image, reconstructed).backward()
    assert reconstructed.grad is not None
    assert bool((reconstructed.grad > 0).all())


def test_local_is_zero_when_tumour_and_whole_image_agree(image: Tensor, mask: Tensor) -> None:
    tumour = mask_tumour(image, mask)
    consistent = Translation(image, tumour, FEATURES)
    assert local_consistency_loss(tumour, consistent, consistent, mask).item() == 0


def test_local_has_one_part_for_the_translation_and_one_for_the_reconstruction(image: Tensor, mask: Tensor) -> None:
    tumour = mask_tumour(image, mask)
    consistent, off = Translation(image, tumour, FEATURES), Translation(image, tumour + 0.5, FEATURES)
    assert local_consistency_loss(tumour, off, consistent, mask).item() == pytest.approx(0.5, rel=1e-5)
    assert local_consistency_loss(tumour, consistent, off, mask).item() == pytest.approx(0.5, rel=1e-5)
    assert local_consistency_loss(tumour, off, off, mask).item() == pytest.approx(1.0, rel=1e-5)


def test_local_compares_with_the_whole_image_inside_the_mask_only(image: Tensor, mask: Tensor) -> None:
    tumour = mask_tumour(image, mask)
    changed_outside = Translation(torch.where(mask > 0, image, -image), tumour, FEATURES)
    changed_inside = Translation(torch.where(mask > 0, -image, image), tumour, FEATURES)
    consistent = Translation(image, tumour, FEATURES)
    assert local_consistency_loss(tumour, changed_outside, consistent, mask).item() == 0
    assert local_consistency_loss(tumour, changed_inside, consistent, mask).item() > 0


def test_local_teaches_both_decoders(image: Tensor, mask: Tensor) -> None:
    whole, tumour = image.clone().requires_grad_(), (mask_tumour(image, mask) + 0.1).requires_grad_()
    translation = Translation(whole, tumour, FEATURES)
    local_consistency_loss(mask_tumour(image, mask), translation, translation, mask).backward()
    assert whole.grad is not None
    assert whole.grad[mask > 0].abs().sum().item() > 0
    assert whole.grad[mask == 0].abs().sum().item() == 0
    assert tumour.grad is not None
    assert tumour.grad.abs().sum().item() > 0


def test_local_is_finite_for_an_empty_mask(image: Tensor) -> None:
    empty = torch.zeros_like(image)
    tumour = mask_tumour(image, empty)
    assert bool((tumour == -1).all())
    translation = Translation(image, image.clone().requires_grad_(), FEATURES)
    loss = local_consistency_loss(tumour, translation, translation, empty)
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert translation.tumour_image is not None
    assert translation.tumour_image.grad is not None
    assert bool(torch.isfinite(translation.tumour_image.grad).all())


@pytest.mark.parametrize("lacking", ["translation", "reconstruction"])
def test_local_is_refused_without_a_tumour_decoder(image: Tensor, mask: Tensor, lacking: str) -> None:
    full, bare = Translation(image, image, FEATURES), Translation(image, None, FEATURES)
    pair = (bare, full) if lacking == "translation" else (full, bare)
    with pytest.raises(ValueError, match="tumour decoder"):
        local_consistency_loss(image, *pair, mask)


def test_identity_counts_same_modality_samples_only(image: Tensor) -> None:
    same = torch.tensor([True, False])
    other_is_off = torch.stack([image[0], image[1] + 0.5])
    same_is_off = torch.stack([image[0] + 0.5, image[1]])
    assert identity_loss(image, other_is_off, same).item() == 0
    assert identity_loss(image, same_is_off, same).item() > 0


def test_identity_is_zero_without_any_same_modality_sample(image: Tensor) -> None:
    translated = (image + 0.5).requires_grad_()
    loss = identity_loss(image, translated, torch.tensor([False, False]))
    loss.backward()
    assert loss.item() == 0
    assert translated.grad is not None
    assert translated.grad.abs().sum().item() == 0


def test_identity_of_an_all_same_batch_is_the_mean_absolute_error(image: Tensor) -> None:
    same = torch.tensor([True, True])
    assert identity_loss(image, image, same).item() == 0
    assert identity_loss(image, image + 0.25, same).item() == pytest.approx(0.25, rel=1e-5)
