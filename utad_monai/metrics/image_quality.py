"""How close a translated volume is to the real one, in the brain and in the tumour."""

from __future__ import annotations

import math

import torch
from monai.metrics.regression import KernelType, compute_ssim_and_cs
from torch import Tensor
from torch.nn import functional

DATA_RANGE = 1.0
"""Intensities are compared on [0, 1]: the normalised [-1, 1] halved and shifted."""
SSIM_KERNEL = 11
"""Side of the Gaussian window in pixels (sigma 1.5), as in Wang et al. 2004."""
MAX_PSNR_DB = 100.0
"""PSNR of identical images, instead of infinity, which would poison every mean."""

PROTOCOL = {
    "data_range": DATA_RANGE,
    "intensities": "normalised brain window mapped to [0, 1], clipped",
    "region": "brain pixels of the real target (image), whole-tumour pixels (tumour_*); background is not counted",
    "ssim": f"2-D per slice, Gaussian {SSIM_KERNEL}x{SSIM_KERNEL} sigma 1.5, map averaged over the region's pixels",
    "psnr": f"from the mean squared error over the region's pixels of the case, at most {MAX_PSNR_DB:g} dB",
    "nmse": "sum of squared errors / sum of squared real intensities over the region",
    "empty_tumour": "tumour metrics are NaN and left out of means",
}
"""What the numbers mean; printed beside them."""


def image_quality(real: Tensor, translated: Tensor, tumour_mask: Tensor) -> dict[str, float]:
    """Compare a translated volume with the real one of the same patient and modality.

    Args:
        real: `(Z, H, W)` in [-1, 1], background exactly -1.
        translated: the same shape and range.
        tumour_mask: `(Z, H, W)`, 0 or 1, whole tumour.

    Returns:
        `ssim`, `psnr` (dB), `nmse`, `mae` over the brain, and the same with the prefix `tumour_` over the tumour
        (NaN where the region is empty).

    Raises:
        ValueError: when the shapes differ.
    """
    if not real.shape == translated.shape == tumour_mask.shape:
        raise ValueError(f"shapes differ: {tuple(real.shape)}, {tuple(translated.shape)}, {tuple(tumour_mask.shape)}")
    brain = real > -1
    real, translated = _to_unit(real), _to_unit(translated)
    similarity = ssim_map(real, translated)
    whole = _region_quality(real, translated, similarity, brain)
    tumour = _region_quality(real, translated, similarity, tumour_mask > 0)
    return whole | {f"tumour_{name}": value for name, value in tumour.items()}


def ssim_map(real: Tensor, translated: Tensor) -> Tensor:
    """Return the SSIM of every pixel, `(Z, H, W)`, of slices `(Z, H, W)` in [0, 1]; borders see zeros beyond."""
    margin = SSIM_KERNEL // 2
    padded = [functional.pad(image[:, None], [margin] * 4) for image in (translated, real)]
    similarity, _ = compute_ssim_and_cs(
        y_pred=padded[0],
        y=padded[1],
        spatial_dims=2,
        kernel_size=(SSIM_KERNEL, SSIM_KERNEL),
        kernel_sigma=(1.5, 1.5),
        data_range=DATA_RANGE,
        kernel_type=KernelType.GAUSSIAN,
    )
    return similarity[:, 0]


def region_mae(real: Tensor, translated: Tensor, region: Tensor) -> float:
    """Return the mean absolute error over a region, with intensities on [0, 1]; NaN where the region is empty.

    Args:
        real: `(Z, H, W)` in [-1, 1].
        translated: the same shape and range.
        region: the same shape, 0 or 1.
    """
    inside = region > 0
    if not bool(inside.any()):
        return math.nan
    return float((_to_unit(translated) - _to_unit(real)).abs()[inside].mean())


def _to_unit(image: Tensor) -> Tensor:
    return ((image.to(torch.float32) + 1) / 2).clamp(0, 1)


def _region_quality(real: Tensor, translated: Tensor, similarity: Tensor, region: Tensor) -> dict[str, float]:
    if not bool(region.any()):
        return dict.fromkeys(("ssim", "psnr", "nmse", "mae"), math.nan)
    error = (translated - real)[region]
    mean_squared = float(error.square().mean())
    power = float(real[region].square().mean())
    return {
        "ssim": float(similarity[region].mean()),
        "psnr": min(MAX_PSNR_DB, 10 * math.log10(DATA_RANGE**2 / mean_squared)) if mean_squared else MAX_PSNR_DB,
        "nmse": mean_squared / power if power else math.nan,
        "mae": float(error.abs().mean()),
    }
