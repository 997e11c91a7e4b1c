"""The protocols of others give the numbers of the libraries that they use, and a flat brain nearly full marks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure

from utad_monai.metrics.image_quality import image_quality, ssim_map
from utad_monai.metrics.protocols import WholeVolume, masked_ssim, selfrdb_ssim, utad128_ssim
from utad_monai.transforms import IntensityWindow

WINDOW = IntensityWindow(100.0, 600.0)
SHAPE = (40, 44, 60)


def brain(seed: int) -> Tensor:
    volume = torch.zeros(SHAPE)
    inside = (slice(12, 28), slice(12, 32), slice(20, 50))
    volume[inside] = torch.rand(volume[inside].shape, generator=torch.Generator().manual_seed(seed)) * 500 + 100
    return volume


def whole(made: Tensor, real: Tensor, made_window: IntensityWindow = WINDOW) -> WholeVolume:
    return WholeVolume(made, real, tumour=tumour(), made_window=made_window, real_window=WINDOW)


def tumour() -> Tensor:
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[16:22, 16:24, 30:38] = True
    return mask


@pytest.fixture
def noisy() -> WholeVolume:
    real = brain(0)
    return whole(torch.where(real > 0, 0.7 * real + 0.3 * brain(1), 0.0), real)


def scaled(volume: Tensor) -> Tensor:
    lower, upper = np.percentile(volume.numpy(), (0.5, 99.5))
    lower = max(lower, 0)
    return ((volume.clamp(lower, upper) - lower) / (upper - lower)).to(torch.float32)


@pytest.mark.parametrize("inverse", [False, True])
def test_brasyn_is_the_ssim_of_torchmetrics_of_scaled_and_masked_volumes(noisy: WholeVolume, inverse: bool) -> None:
    mask = noisy.tumour != inverse
    made, real = (scaled(volume) * mask for volume in (noisy.made, noisy.real))
    mean, full = structural_similarity_index_measure(made[None, None], real[None, None], return_full_image=True)
    assert masked_ssim(noisy.real, noisy.made, mask)[0] == pytest.approx(float(mean), abs=1e-6)
    inside = full[0, 0][mask].mean()
    assert masked_ssim(noisy.real, noisy.made, mask)[1] == pytest.approx(float(inside), abs=1e-5)


def test_brasyn_scales_each_volume_by_itself(noisy: WholeVolume) -> None:
    brighter = masked_ssim(noisy.real, noisy.made * 7, noisy.tumour)
    assert brighter == pytest.approx(masked_ssim(noisy.real, noisy.made, noisy.tumour), abs=1e-6)


def test_brasyn_does_not_let_negative_voxels_set_the_scale() -> None:
    real = brain(0)
    below = torch.where(real > 0, real, -50.0)
    assert masked_ssim(real, below, tumour())[0] == pytest.approx(1)


def test_brasyn_of_a_brain_at_the_edge_of_the_volume_counts_the_whole_cuboid() -> None:
    real = brain(0)
    touching = torch.roll(real, -20, dims=2)
    similarity, _ = masked_ssim(touching, torch.zeros(SHAPE), torch.ones(SHAPE, dtype=torch.bool))
    assert 0 < similarity < 0.9


def test_brasyn_without_a_tumour_is_perfect_and_undefined_inside() -> None:
    similarity, inside = masked_ssim(brain(0), brain(1), torch.zeros(SHAPE, dtype=torch.bool))
    assert similarity == 1
    assert math.isnan(inside)


@pytest.mark.parametrize("brightest", [600, 20_000])
def test_selfrdb_is_the_ssim_of_scikit_image_of_slices_over_their_means(noisy: WholeVolume, brightest: float) -> None:
    real, made = noisy.real.clone(), noisy.made
    real[20, 20, 20:50] = brightest  # a large range: the constants count, and with them whose covariance it is
    values = []
    for index in range(27, 50):
        left, right = (volume[:, :, index].numpy() / volume[:, :, index].numpy().mean() for volume in (real, made))
        values.append(structural_similarity(left, right, data_range=left.max()))
    assert selfrdb_ssim(whole(made, real)) == pytest.approx(np.mean(values), abs=2e-6)


def test_selfrdb_does_not_look_below_slice_27() -> None:
    real = brain(0)
    other = real.clone()
    other[..., :27] = brain(1)[..., :27]
    assert selfrdb_ssim(whole(other, real)) == pytest.approx(1)
    assert math.isnan(selfrdb_ssim(whole(real[..., :26], real[..., :26])))


def test_selfrdb_of_an_empty_volume_is_a_number() -> None:
    assert 0 < selfrdb_ssim(whole(torch.zeros(SHAPE), brain(0))) < 1


def test_utad128_is_the_mean_over_whole_slices_that_show_brain(noisy: WholeVolume) -> None:
    slices = []
    for volume in (noisy.real, noisy.made):
        unit = ((volume - 100) / 500).clamp(2**-8, 1) * (volume != 0)
        shown = unit[..., 20:50].permute(2, 1, 0)[:, None]
        slices.append(functional.interpolate(shown, (128, 128), mode="bilinear", antialias=True)[:, 0])
    assert utad128_ssim(noisy) == pytest.approx(float(ssim_map(*slices).mean()), abs=1e-5)


def test_utad128_measures_a_copy_in_its_own_window() -> None:
    real = brain(0)
    copy = torch.where(real > 0, real * 3 + 40, 0.0)
    assert utad128_ssim(whole(copy, real, IntensityWindow(340.0, 1840.0))) == pytest.approx(1, abs=1e-5)
    assert utad128_ssim(whole(copy, real)) < 0.99


def test_whole_images_flatter_a_flat_brain_that_ours_does_not() -> None:
    real = brain(0)
    flat = whole(torch.where(real > 0, 350.0, 0.0), real)
    slices = [volume.permute(2, 1, 0) for volume in (real, flat.made)]
    normalised = [torch.where(image > 0, (image - 100) / 250 - 1, -1.0) for image in slices]
    ours = image_quality(*normalised, flat.tumour.permute(2, 1, 0))
    assert flat.in_tumour[0] > 0.99
    assert flat.in_tumour[1] < 0.8
    assert min(utad128_ssim(flat), masked_ssim(real, flat.made, ~flat.tumour)[0]) > ours["ssim"] + 0.3


def test_no_brain_is_no_number() -> None:
    nothing = whole(torch.zeros(SHAPE), torch.zeros(SHAPE))
    assert math.isnan(utad128_ssim(nothing))
    assert math.isnan(selfrdb_ssim(nothing))
    assert nothing.in_tumour[0] == 1
