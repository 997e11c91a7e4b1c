"""Smoothing from slice to slice, for volumes that were translated slice by slice."""

from __future__ import annotations

import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from transforms import BACKGROUND, BRAIN_FLOOR


def smooth_through_plane(slices: Tensor, sigma_mm: float, slice_mm: float) -> Tensor:
    """Smooth along the slices with a Gaussian that averages brain only; nothing changes within a slice.

    Args:
        slices: `(Z, H, W)` in [-1, 1], background exactly -1.
        sigma_mm: standard deviation of the Gaussian in mm; 0 changes nothing.
        slice_mm: distance of neighbouring slices in mm.

    Returns:
        `(Z, H, W)` in [-1, 1]; brain and background stay what they were.

    Raises:
        ValueError: when `sigma_mm` is negative or `slice_mm` not positive.
    """
    if sigma_mm < 0 or slice_mm <= 0:
        raise ValueError(f"sigma_mm must be at least 0 and slice_mm positive, got {sigma_mm} and {slice_mm}")
    if sigma_mm == 0:
        return slices
    brain = slices > BACKGROUND
    inside = brain.to(torch.float32).numpy()
    sigma = sigma_mm / slice_mm
    shares = gaussian_filter1d(inside, sigma, axis=0, mode="constant")
    sums = gaussian_filter1d(slices.to(torch.float32).numpy() * inside, sigma, axis=0, mode="constant")
    mean = torch.from_numpy(sums) / torch.from_numpy(shares).clamp_min(torch.finfo(torch.float32).tiny)
    return torch.where(brain, mean.clamp(BRAIN_FLOOR, 1.0), slices)
