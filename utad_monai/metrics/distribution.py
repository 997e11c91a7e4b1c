"""Do translated images, as a set, look like real ones? Distances between features of a segmentation network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

DISTRIBUTION_PROTOCOL = (
    "features: bottleneck of the segmentation network that sees the target modality alone, averaged over each slice; "
    "fid: Frechet distance of Gaussians (biased for few slices); kid: unbiased squared maximum mean discrepancy, "
    "kernel (x.y/d + 1)^3; all test slices with brain, no downloaded weights, so comparable within this study only"
)
"""What the numbers mean; printed beside them."""
_ENOUGH = 2


def frechet_distance(fakes: Tensor, reals: Tensor) -> float:
    """Return the Frechet distance of two sets of features (FID, Heusel et al. 2017, arXiv 1706.08500).

    MONAI's goes through scipy's matrix square root, which fails where there are fewer images than features; the
    symmetric form here needs eigenvalues of symmetric matrices only.

    Args:
        fakes: `(N, C)` features of translated images.
        reals: `(M, C)` features of real images.

    Returns:
        A non-negative distance; NaN with fewer than two images on a side.
    """
    if min(len(fakes), len(reals)) < _ENOUGH:
        return math.nan
    fakes, reals = fakes.double(), reals.double()
    covariance_fake, covariance_real = torch.cov(fakes.T), torch.cov(reals.T)
    root = _square_root(covariance_fake)
    product = torch.linalg.eigvalsh(root @ covariance_real @ root).clamp(min=0).sqrt().sum()
    means = (fakes.mean(dim=0) - reals.mean(dim=0)).square().sum()
    return max(0.0, float(means + covariance_fake.trace() + covariance_real.trace() - 2 * product))


def _square_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
    return root


def kernel_distance(fakes: Tensor, reals: Tensor) -> float:
    """Return the unbiased kernel distance of two sets of features (KID, Binkowski et al. 2018, arXiv 1801.01401).

    Args:
        fakes: `(N, C)` features of translated images.
        reals: `(M, C)` features of real images.

    Returns:
        A squared distance; about 0, also below, for images of the same kind. NaN with fewer than two on a side.
    """
    if min(len(fakes), len(reals)) < _ENOUGH:
        return math.nan
    fakes, reals = fakes.double(), reals.double()
    return float(_mean_of_others(fakes) + _mean_of_others(reals) - 2 * _kernel(fakes, reals).mean())


def _kernel(left: Tensor, right: Tensor) -> Tensor:
    return (left @ right.T / left.shape[1] + 1) ** 3


def _mean_of_others(features: Tensor) -> Tensor:
    """Return the mean kernel of different images."""
    kernel, count = _kernel(features, features), len(features)
    return (kernel.sum() - kernel.trace()) / (count * (count - 1))
