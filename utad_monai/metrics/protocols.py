"""Image quality as others measure it, on volumes of the patient's own grid: to be read beside the rivals, never alone.

Whole images count background, which every method has right: each of these gives a flat brain nearly full marks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from monai.transforms import generate_spatial_bounding_box
from scipy.ndimage import gaussian_filter, uniform_filter
from torch import Tensor
from torch.nn import functional

from utad_monai.keys import EvaluationProtocol
from utad_monai.metrics.image_quality import SSIM_KERNEL
from utad_monai.transforms import IntensityWindow

UTAD_PIXELS = (128, 128)
BRASYN_PERCENTILES = (0.5, 99.5)
SELFRDB_SLICES = slice(27, 127)
SELFRDB_WINDOW = 7
_K1, _K2, _SIGMA = 0.01, 0.03, 1.5
_REACH = SSIM_KERNEL // 2
"""Pixels on each side that the Gaussian window sees."""

PROTOCOL_IN_WORDS: Mapping[EvaluationProtocol, str] = {
    EvaluationProtocol.OURS: "on the model's slices: brain pixels of the real target (tumour: whole-tumour pixels), "
    "brain window on [0, 1], 2-D SSIM with a Gaussian window of 11 x 11; background is not counted",
    EvaluationProtocol.UTAD128: "whole axial slices that show brain, resized to 128 x 128, brain window on [0, 1], "
    "2-D SSIM with a Gaussian window of 11 x 11, background counted, mean over slices and all targets, the source's "
    "own included; what makes no modality from itself keeps the source there (SSIM 1)",
    EvaluationProtocol.BRASYN: "each volume scaled by its own 0.5-99.5 percentiles (lower bound not under 0) and "
    "multiplied by the tumour mask (WT) or its inverse (healthy), 3-D SSIM with a Gaussian window of 11 x 11 x 11, "
    "range the larger of both, mean over the whole cuboid; inside: mean inside the tumour mask alone",
    EvaluationProtocol.SELFRDB: "whole axial slices 27 to 126, each divided by its mean, 2-D SSIM with a uniform "
    "window of 7 x 7, range the target's maximum, background counted, mean over the slices of a subject",
}
"""What the numbers of each protocol mean; printed beside them."""

_Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class WholeVolume:
    """A modality that was made, as `complete` writes it, beside the patient's own volume.

    Attributes:
        made: `(X, Y, Z)` in file units, exactly 0 outside the brain.
        real: the same of the true target.
        tumour: `(X, Y, Z)` bool, the whole tumour.
        made_window: the intensities of `made` that are [0, 1].
        real_window: the same of `real`.
    """

    made: Tensor
    real: Tensor
    _: KW_ONLY
    tumour: Tensor
    made_window: IntensityWindow
    real_window: IntensityWindow

    @cached_property
    def in_tumour(self) -> tuple[float, float]:
        """The SSIM of BraSyn of the images within the tumour: over the whole cuboid, and inside the mask."""
        return masked_ssim(self.real, self.made, self.tumour)


def utad128_ssim(volume: WholeVolume) -> float:
    """Return the SSIM of whole slices at 128 x 128, averaged over the slices that show brain; NaN without brain."""
    shown = (volume.real != 0).any(dim=0).any(dim=0)
    if not bool(shown.any()):
        return math.nan
    real = _small_slices(volume.real[..., shown], volume.real_window)
    made = _small_slices(volume.made[..., shown], volume.made_window)
    return float(_similarity(real, made, _gaussian((0.0, _SIGMA, _SIGMA))).mean(dtype=np.float64))


def _small_slices(image: Tensor, window: IntensityWindow) -> _Array:
    """Return `(Z, 128, 128)` in [0, 1] of `(X, Y, Z)` in file units."""
    unit = (window.normalise(image, image != 0) + 1) / 2
    slices = unit.permute(2, 1, 0)[:, None]
    small = functional.interpolate(slices, size=UTAD_PIXELS, mode="bilinear", antialias=True, align_corners=False)
    return np.asarray(small[:, 0].numpy())


def masked_ssim(real: Tensor, made: Tensor, mask: Tensor) -> tuple[float, float]:
    """Return BraSyn's SSIM of two volumes of which only a mask is left.

    Args:
        real: `(X, Y, Z)` in file units.
        made: the same shape.
        mask: the same shape, bool.

    Returns:
        The mean over the whole cuboid, and that inside the mask (NaN where it is empty).
    """
    left, right = (_by_percentiles(image) * mask.numpy() for image in (real, made))
    data_range = float(max(np.ptp(left), np.ptp(right)))
    if data_range == 0:
        return 1.0, math.nan
    box = _box_of((left != 0) | (right != 0))  # the map is 1 elsewhere
    similarity = _similarity(left[box] / data_range, right[box] / data_range, _gaussian((_SIGMA, _SIGMA, _SIGMA)))
    lost, inside = 1 - similarity, mask.numpy()
    return (
        1 - float(lost.sum(dtype=np.float64)) / inside.size,
        1 - float(lost[inside[box]].sum(dtype=np.float64)) / float(inside.sum()),
    )


def _by_percentiles(image: Tensor) -> _Array:
    """Return a volume on [0, 1] by its own percentiles, background counted."""
    values = image.numpy()
    lower, upper = (float(bound) for bound in np.percentile(values, BRASYN_PERCENTILES))
    lower = max(0.0, lower)
    if not upper > lower:
        return np.zeros_like(values)
    return np.asarray((values.clip(lower, upper) - lower) / (upper - lower), dtype=np.float32)


def _box_of(shown: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[slice, ...]:
    """Return the part of a volume whose windows see anything."""
    start, end = generate_spatial_bounding_box(shown[None])
    return tuple(slice(max(0, first - _REACH), last + _REACH) for first, last in zip(start, end, strict=True))


def selfrdb_ssim(volume: WholeVolume) -> float:
    """Return the SSIM of slices that were divided by their means, averaged over slices whose target shows anything.

    NaN where none of the slices 27 to 126 does. The code of the paper takes the default of scikit-image: a sample's
    covariance, and no pixel whose window leaves the slice.
    """
    slices = [image.permute(2, 1, 0)[SELFRDB_SLICES].to(torch.float32) for image in (volume.real, volume.made)]
    shown = slices[0].flatten(1).any(dim=1)
    if not bool(shown.any()):
        return math.nan
    real, made = (_over_mean(image[shown]) for image in slices)
    brightest = real.amax(dim=(1, 2), keepdim=True)  # as the unit: SSIM stays, and the range is 1 in every slice
    window = partial(uniform_filter, size=(1, SELFRDB_WINDOW, SELFRDB_WINDOW))
    count, edge = SELFRDB_WINDOW**2, SELFRDB_WINDOW // 2
    similarity = _similarity((real / brightest).numpy(), (made / brightest).numpy(), window, count / (count - 1))
    return float(similarity[:, edge:-edge, edge:-edge].mean(dtype=np.float64))


def _over_mean(slices: Tensor) -> Tensor:
    """Divide each slice by its mean; an empty one stays empty."""
    mean = slices.mean(dim=(1, 2), keepdim=True)
    return slices / torch.where(mean > 0, mean, 1.0)


def _gaussian(sigma: tuple[float, ...]) -> Callable[[_Array], _Array]:
    """Return the usual window of 11 pixels along each axis whose sigma is not 0; borders see zeros beyond."""
    radius = [_REACH if one else 0 for one in sigma]
    return partial(gaussian_filter, sigma=sigma, radius=radius, mode="constant")


def _similarity(real: _Array, made: _Array, window: Callable[[_Array], _Array], sample: float = 1.0) -> _Array:
    """Return the SSIM of every pixel (Wang et al. 2004) of images whose range is 1.

    Axis by axis: MONAI's windows are products of as many numbers as they have pixels, and take ten times as long.

    Args:
        real: of any number of axes.
        made: the same shape.
        window: averages an image around every pixel.
        sample: by how much variances are multiplied.
    """
    mean_real, mean_made = window(real), window(made)
    product, squares = mean_real * mean_made, mean_real**2 + mean_made**2
    covariance = sample * (window(real * made) - product)
    variances = sample * (window(real**2 + made**2) - squares)
    c1, c2 = _K1**2, _K2**2
    similarity = (2 * product + c1) / (squares + c1) * (2 * covariance + c2) / (variances + c2)
    return np.asarray(similarity, dtype=np.float32)
