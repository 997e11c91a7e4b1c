"""How close a translated volume is to the real one, in the brain and in the tumour."""

from __future__ import annotations

import math

import torch
from monai.metrics.regression import KernelType, compute_ms_ssim, compute_ssim_and_cs
from torch import Tensor
from torch.nn import functional

from utad_monai.transforms import BACKGROUND

DATA_RANGE = 1.0
"""Intensities are compared on [0, 1]: the normalised [-1, 1] halved and shifted."""
SSIM_KERNEL = 11
"""Side of the Gaussian window in pixels (sigma 1.5), as in Wang et al. 2004."""
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the five scales (Wang et al. 2003)."""
MAX_PSNR_DB = 100.0
"""PSNR of identical images, instead of infinity, which would poison every mean."""

PROTOCOL = {
    "data_range": DATA_RANGE,
    "intensities": "normalised brain window mapped to [0, 1], clipped",
    "region": "brain pixels of the real target (image), whole-tumour pixels (tumour_*); background is not counted",
    "ssim": f"2-D per slice, Gaussian {SSIM_KERNEL}x{SSIM_KERNEL} sigma 1.5, map averaged over the region's pixels",
    "ms_ssim": "per slice with brain, whole frame with background, mean; Wang's five scales where the size allows "
    "(more than 160 pixels), else the first of them, weights scaled to sum 1",
    "psnr": f"from the mean squared error over the region's pixels of the case, at most {MAX_PSNR_DB:g} dB",
    "nmse": "sum of squared errors / sum of squared real intensities over the region",
    "empty_tumour": "tumour metrics are NaN and left out of means",
}
"""What the numbers mean; printed beside them."""


def image_quality(
    real: Tensor, translated: Tensor, tumour_mask: Tensor, enhancing_mask: Tensor | None = None
) -> dict[str, float]:
    """Compare a translated volume with the real one of the same patient and modality.

    Args:
        real: `(Z, H, W)` in [-1, 1], background exactly -1.
        translated: the same shape and range.
        tumour_mask: `(Z, H, W)`, 0 or 1, whole tumour; prefix `tumour_`.
        enhancing_mask: `(Z, H, W)`, 0 or 1, enhancing tumour; prefix `enhancing_`. Not measured when None.

    Returns:
        `ssim`, `psnr` (dB), `nmse`, `mae` over the brain, and the same with the prefix of each other region
        (NaN where the region is empty).

    Raises:
        ValueError: when the shapes differ.
    """
    if not real.shape == translated.shape == tumour_mask.shape:
        raise ValueError(f"shapes differ: {tuple(real.shape)}, {tuple(translated.shape)}, {tuple(tumour_mask.shape)}")
    brain = real > -1
    real, translated = _to_unit(real), _to_unit(translated)
    similarity = ssim_map(real, translated)
    regions = {"": brain, "tumour_": tumour_mask > 0}
    if enhancing_mask is not None:
        regions["enhancing_"] = enhancing_mask > 0
    return {
        f"{prefix}{name}": value
        for prefix, region in regions.items()
        for name, value in _region_quality(real, translated, similarity, region).items()
    }


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


def multi_scale_ssim(real: Tensor, translated: Tensor) -> float:
    """Return the multi-scale SSIM (Wang et al. 2003) of whole slices, averaged over the slices that show brain.

    Five scales need more than 160 pixels a side; smaller slices are compared at as many of the five scales as fit.

    Args:
        real: `(Z, H, W)` in [-1, 1], background exactly -1.
        translated: the same shape and range.

    Returns:
        A value in [0, 1]; NaN where there is no brain, or where a slice is smaller than the window.
    """
    brain = (real > -1).flatten(1).any(dim=1)
    scales = _scales_that_fit(min(real.shape[1:]))
    if scales == 0 or not bool(brain.any()):
        return math.nan
    weights = [weight / sum(MS_SSIM_WEIGHTS[:scales]) for weight in MS_SSIM_WEIGHTS[:scales]]
    similarity = compute_ms_ssim(
        _to_unit(translated[brain])[:, None],
        _to_unit(real[brain])[:, None],
        spatial_dims=2,
        data_range=DATA_RANGE,
        kernel_size=SSIM_KERNEL,
        weights=weights,
    )
    return float(similarity.mean())


def _scales_that_fit(side: int) -> int:
    """Return how many scales a slice of this side allows: each halves it, and MONAI asks for a little more."""
    fitting = (n for n in range(1, len(MS_SSIM_WEIGHTS) + 1) if side // max(2 ** (n - 1), (n - 1) ** 2) >= SSIM_KERNEL)
    return max(fitting, default=0)


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


def identity_copy_score(source: Tensor, translated: Tensor, real: Tensor) -> float:
    """Return how much a translation keeps to its source where the real target does not.

    `1 - E|translated - source| / E|real - source|` over the brain: 1 for a copy of the source, 0 for an image that is
    as far from the source as the real target, negative for one that is farther.

    Args:
        source: `(Z, H, W)` in [-1, 1], background exactly -1.
        translated: the same shape and range.
        real: the same shape and range.

    Returns:
        The score; NaN where the real target equals the source, or there is no brain.
    """
    brain = source > BACKGROUND
    needed = float((real - source).abs()[brain].mean()) if bool(brain.any()) else 0.0
    if needed == 0:
        return math.nan
    return 1 - float((translated - source).abs()[brain].mean()) / needed
