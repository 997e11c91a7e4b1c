"""Image quality agrees with independent implementations, looks at its region only and stays finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pytorch_msssim import ms_ssim
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from utad_monai.metrics import image_quality, ssim_map
from utad_monai.metrics.image_quality import MS_SSIM_WEIGHTS, identity_copy_score, multi_scale_ssim
from utad_monai.transforms import BACKGROUND

MARGIN = 5
"""Half an SSIM window: nearer to the border, implementations differ in what they assume beyond it."""


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    """Two slices without background and a noisy version of them, both in (-1, 1]."""
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(torch.linspace(0, 3, 32), torch.linspace(0, 4, 40), indexing="ij")
    real = torch.stack([torch.sin(rows * columns), torch.cos(rows + columns)]) * 0.7
    return real, (real + 0.15 * torch.randn_like(real)).clamp(-0.99, 1)


@pytest.fixture
def tumour() -> Tensor:
    mask = torch.zeros(2, 32, 40)
    mask[0, 10:20, 12:25] = 1
    return mask


def unit(image: Tensor) -> np.ndarray:
    return ((image.double() + 1) / 2).numpy()


def interior(image: Tensor | np.ndarray) -> Tensor:
    return torch.as_tensor(image).double()[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def test_ssim_map_agrees_with_scikit_image(pair: tuple[Tensor, Tensor]) -> None:
    ours = ssim_map(*(torch.from_numpy(unit(image)) for image in pair))
    assert ours.shape == (2, 32, 40)
    for real, made, similarity in zip(*map(unit, pair), ours, strict=True):  # theirs in float64, ours in float32
        _, theirs = structural_similarity(
            real, made, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        torch.testing.assert_close(interior(similarity), interior(theirs), rtol=0, atol=1e-3)


def test_ssim_map_agrees_with_torchmetrics(pair: tuple[Tensor, Tensor]) -> None:
    real, made = (torch.from_numpy(unit(image)) for image in pair)
    _, theirs = structural_similarity_index_measure(
        made[:, None], real[:, None], kernel_size=11, sigma=1.5, data_range=1.0, return_full_image=True
    )
    torch.testing.assert_close(interior(ssim_map(real, made)), interior(theirs[:, 0]), rtol=0, atol=1e-3)


def test_ssim_is_the_mean_of_the_map_over_the_region(pair: tuple[Tensor, Tensor], tumour: Tensor) -> None:
    quality = image_quality(*pair, tumour)
    similarity = ssim_map(*(torch.from_numpy(unit(image)) for image in pair))
    assert quality["ssim"] == pytest.approx(float(similarity.mean()), abs=1e-5)
    assert quality["tumour_ssim"] == pytest.approx(float(similarity[tumour > 0].mean()), abs=1e-5)
    assert quality["ssim"] < 0.95


def test_psnr_and_errors_agree_with_scikit_image(pair: tuple[Tensor, Tensor], tumour: Tensor) -> None:
    real, made = map(unit, pair)
    quality = image_quality(*pair, tumour)
    assert quality["psnr"] == pytest.approx(peak_signal_noise_ratio(real, made, data_range=1.0), abs=1e-3)
    assert quality["nmse"] == pytest.approx(mean_squared_error(real, made) / np.square(real).mean(), rel=1e-4)
    assert quality["mae"] == pytest.approx(np.abs(real - made).mean(), rel=1e-4)
    inside = tumour.numpy() > 0
    expected = peak_signal_noise_ratio(real[inside], made[inside], data_range=1.0)
    assert quality["tumour_psnr"] == pytest.approx(expected, abs=1e-3)


def test_background_of_the_real_image_is_not_counted(pair: tuple[Tensor, Tensor], tumour: Tensor) -> None:
    real, made = pair
    real = torch.where(tumour > 0, real, torch.full_like(real, -1.0))
    painted = torch.where(tumour > 0, made, torch.rand_like(made))
    clean = torch.where(tumour > 0, made, torch.full_like(made, -1.0))
    first, second = image_quality(real, painted, tumour), image_quality(real, clean, tumour)
    assert first["mae"] == second["mae"] == first["tumour_mae"]
    assert first["psnr"] == second["psnr"]
    assert first["nmse"] == second["nmse"]


def test_errors_outside_the_tumour_do_not_touch_its_metrics(pair: tuple[Tensor, Tensor], tumour: Tensor) -> None:
    real, _ = pair
    wrong_outside = torch.where(tumour > 0, real, -real)
    quality = image_quality(real, wrong_outside, tumour)
    assert quality["tumour_mae"] == 0
    assert quality["tumour_psnr"] == 100
    assert quality["mae"] > 0.1


def test_identical_images_are_perfect_and_finite(pair: tuple[Tensor, Tensor], tumour: Tensor) -> None:
    quality = image_quality(pair[0], pair[0].clone(), tumour)
    for prefix in ("", "tumour_"):
        assert quality[f"{prefix}ssim"] == pytest.approx(1, abs=1e-6)
        assert quality[f"{prefix}psnr"] == 100
        assert quality[f"{prefix}nmse"] == quality[f"{prefix}mae"] == 0


def test_nearly_identical_images_stay_at_the_cap(pair: tuple[Tensor, Tensor], tumour: Tensor) -> None:
    assert image_quality(pair[0], pair[0] + 1e-7, tumour)["psnr"] == 100


def test_empty_tumour_is_nan_and_the_brain_is_measured(pair: tuple[Tensor, Tensor], tumour: Tensor) -> None:
    quality = image_quality(*pair, torch.zeros_like(tumour))
    assert all(math.isnan(value) for name, value in quality.items() if name.startswith("tumour_"))
    assert all(math.isfinite(value) for name, value in quality.items() if not name.startswith("tumour_"))


@pytest.mark.parametrize("level", [-0.5, 0.0, 1.0])
def test_constant_image_gives_finite_numbers(tumour: Tensor, level: float) -> None:
    constant = torch.full((2, 32, 40), level)
    same, other = image_quality(constant, constant, tumour), image_quality(constant, constant - 0.2, tumour)
    assert all(math.isfinite(value) for value in (*same.values(), *other.values()))
    assert other["mae"] == pytest.approx(0.1, abs=1e-6)


def test_blank_image_is_nan_and_not_an_error(tumour: Tensor) -> None:
    blank = torch.full((2, 32, 40), -1.0)
    quality = image_quality(blank, blank, torch.zeros_like(tumour))
    assert all(math.isnan(value) for value in quality.values())


def test_worse_images_get_worse_numbers(pair: tuple[Tensor, Tensor], tumour: Tensor) -> None:
    real, made = pair
    better, worse = image_quality(real, made, tumour), image_quality(real, -real, tumour)
    assert better["ssim"] > worse["ssim"]
    assert better["psnr"] > worse["psnr"]
    assert better["nmse"] < worse["nmse"]
    assert better["mae"] < worse["mae"]


def test_slices_smaller_than_the_window_are_measured() -> None:
    small = torch.rand(2, 8, 8)
    assert image_quality(small, small, torch.ones(2, 8, 8))["ssim"] == pytest.approx(1, abs=1e-6)


def test_other_shapes_are_refused(pair: tuple[Tensor, Tensor], tumour: Tensor) -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        image_quality(pair[0], pair[1][:1], tumour)
    with pytest.raises(ValueError, match="shapes differ"):
        image_quality(*pair, tumour[:, :16])


def test_the_enhancing_region_is_measured_when_it_is_given(pair: tuple[Tensor, Tensor], tumour: Tensor) -> None:
    enhancing = torch.zeros_like(tumour)
    enhancing[0, 12:16, 14:20] = 1
    both = image_quality(*pair, tumour, enhancing)
    alone = image_quality(*pair, enhancing)
    assert {name: both[f"enhancing_{name}"] for name in ("ssim", "psnr", "nmse", "mae")} == pytest.approx(
        {name: alone[f"tumour_{name}"] for name in ("ssim", "psnr", "nmse", "mae")}
    )
    assert {name: both[name] for name in image_quality(*pair, tumour)} == image_quality(*pair, tumour)
    assert math.isnan(image_quality(*pair, tumour, torch.zeros_like(tumour))["enhancing_mae"])


def noisy(side: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    real = torch.nn.functional.avg_pool2d(torch.rand(2, 1, side, side), 5, 1, 2)[:, 0] * 1.8 - 0.9
    return real, (real + 0.1 * torch.randn_like(real)).clamp(-0.99, 1)


@pytest.mark.parametrize("side", [176, 240])
def test_multi_scale_ssim_agrees_with_pytorch_msssim(side: int) -> None:
    real, made = noisy(side)
    theirs = ms_ssim(*(torch.from_numpy(unit(image))[:, None].float() for image in (made, real)), data_range=1.0)
    assert multi_scale_ssim(real, made) == pytest.approx(float(theirs), abs=1e-4)


@pytest.mark.parametrize(("side", "scales"), [(176, 5), (104, 4), (64, 3), (48, 3)])
def test_multi_scale_ssim_uses_as_many_scales_as_fit(side: int, scales: int) -> None:
    real, made = noisy(side)
    weights = torch.tensor(MS_SSIM_WEIGHTS[:scales])
    theirs = multiscale_structural_similarity_index_measure(
        torch.from_numpy(unit(made))[:, None],
        torch.from_numpy(unit(real))[:, None],
        data_range=1.0,
        betas=tuple((weights / weights.sum()).tolist()),
        normalize="relu",
    )
    # torchmetrics mirrors the border at the last scale, MONAI leaves out the pixels whose window crosses it
    assert multi_scale_ssim(real, made) == pytest.approx(float(theirs), abs=0.04)


def test_multi_scale_ssim_is_1_for_identical_slices_and_ignores_empty_ones() -> None:
    torch.manual_seed(2)
    real = torch.rand(3, 48, 48) - 0.5
    made = (real + 0.2 * torch.randn_like(real)).clamp(-0.99, 1)
    assert multi_scale_ssim(real, real) == pytest.approx(1, abs=1e-5)
    padded = [torch.cat([image, torch.full((2, 48, 48), -1.0)]) for image in (real, made)]
    assert multi_scale_ssim(*padded) == pytest.approx(multi_scale_ssim(real, made), abs=1e-6)
    assert multi_scale_ssim(real, made) < 0.95


def test_multi_scale_ssim_has_no_value_without_brain_or_below_the_window() -> None:
    blank = torch.full((2, 48, 48), -1.0)
    assert math.isnan(multi_scale_ssim(blank, blank))
    assert math.isnan(multi_scale_ssim(torch.rand(2, 8, 8), torch.rand(2, 8, 8)))


@pytest.mark.parametrize("side", [11, 16, 21, 22, 32, 43, 44, 87, 88, 99, 160, 176])
def test_every_size_from_the_window_on_is_measured(side: int) -> None:
    assert 0 <= multi_scale_ssim(*noisy(side)) < 1


def test_multi_scale_ssim_of_a_constant_image_is_a_number() -> None:
    constant = torch.full((2, 48, 48), 0.3)
    assert 0 <= multi_scale_ssim(torch.rand(2, 48, 48), constant) < 0.5
    assert multi_scale_ssim(constant, constant) == pytest.approx(1, abs=1e-5)


SOURCE = torch.full((2, 4, 4), -0.4)
REAL = torch.full((2, 4, 4), 0.4)


def test_a_copy_scores_one() -> None:
    assert identity_copy_score(SOURCE, SOURCE, REAL) == pytest.approx(1)


def test_the_real_target_scores_zero() -> None:
    assert identity_copy_score(SOURCE, REAL, REAL) == pytest.approx(0, abs=1e-6)


def test_an_image_beyond_the_target_scores_below_zero() -> None:
    assert identity_copy_score(SOURCE, REAL + 0.4, REAL) == pytest.approx(-0.5, abs=1e-5)


def test_only_brain_counts() -> None:
    source, translated = SOURCE.clone(), SOURCE.clone()
    source[:, :2], translated[:, :2] = BACKGROUND, 1.0
    assert identity_copy_score(source, translated, REAL) == pytest.approx(1)


def test_equal_source_and_target_or_no_brain_give_no_score() -> None:
    assert math.isnan(identity_copy_score(REAL, SOURCE, REAL))
    empty = torch.full((2, 4, 4), BACKGROUND)
    assert math.isnan(identity_copy_score(empty, SOURCE, REAL))


def test_the_score_agrees_with_numpy_on_a_masked_array() -> None:
    draw = np.random.default_rng(0)
    source, made, real = draw.uniform(-0.9, 1, (3, 2, 6, 6))
    source[:, :2] = BACKGROUND
    masked = [np.ma.masked_array(image, source <= BACKGROUND) for image in (source, made, real)]
    expected = 1 - np.ma.abs(masked[1] - masked[0]).mean() / np.ma.abs(masked[2] - masked[0]).mean()
    score = identity_copy_score(*(torch.from_numpy(image) for image in (source, made, real)))
    assert score == pytest.approx(float(expected))


def test_a_constant_image_has_a_score() -> None:
    draw = torch.Generator().manual_seed(0)
    source, real = (torch.rand(2, 4, 4, generator=draw) for _ in range(2))
    assert math.isfinite(identity_copy_score(source, torch.zeros(2, 4, 4), real))
