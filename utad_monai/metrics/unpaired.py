"""Measures that need no true image: distribution, consistency between slices, tumour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from utad_monai.keys import Modality
from utad_monai.transforms import BACKGROUND

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


def through_plane_variation(volume: Tensor) -> float:
    """Return the mean absolute difference of neighbouring slices where both are brain.

    Args:
        volume: `(Z, H, W)` in [-1, 1], background exactly -1.

    Returns:
        A value in [0, 2]; NaN where no two neighbouring slices share brain.
    """
    brain = volume > BACKGROUND
    shared = brain[1:] & brain[:-1]
    if not bool(shared.any()):
        return math.nan
    return float(volume.diff(dim=0).abs()[shared].mean())


def slice_consistency(real: Tensor, translated: Tensor) -> float:
    """Return the through-plane variation of a translated volume relative to the real one's.

    1 is as smooth as the real volume, more is striped (slices translated one by one tend to be), less is blurred.

    Args:
        real: `(Z, H, W)` in [-1, 1], background exactly -1.
        translated: the same.

    Returns:
        A ratio; NaN where the real volume does not vary or has no neighbouring slices.
    """
    reference = through_plane_variation(real)
    return through_plane_variation(translated) / reference if reference > 0 else math.nan


_QUANTILES = torch.linspace(0.05, 0.95, 19)


def appearance_features(slices: Tensor, tumour_mask: Tensor) -> Tensor:
    """Describe the look of a volume: quantiles of brain intensity, of brain edges and of tumour intensity.

    Quantile vectors compare like a one-dimensional Wasserstein distance, need no trained network and do not depend on
    where things lie, so that images of different patients can be compared.

    Args:
        slices: `(Z, H, W)` in [-1, 1], background exactly -1.
        tumour_mask: `(Z, H, W)`, 0 or 1; may be empty.

    Returns:
        `(57,)` features on the intensity scale; NaN for the tumour part where there is no tumour.
    """
    brain = slices > BACKGROUND
    vertical, horizontal = (slices.diff(dim=axis).abs() for axis in (1, 2))
    inside = brain[:, 1:] & brain[:, :-1], brain[:, :, 1:] & brain[:, :, :-1]
    edges = torch.cat([vertical[inside[0]], horizontal[inside[1]]])
    return torch.cat([_quantiles(slices[brain]), _quantiles(edges), _quantiles(slices[tumour_mask > 0])])


def appearance_distance(fakes: Sequence[Tensor], reals: Sequence[Tensor]) -> float:
    """Return the mean absolute difference between the mean features of translated and of real volumes.

    Args:
        fakes: features of translations to one modality.
        reals: features of real images of that modality, of any patients.

    Raises:
        ValueError: when one side is empty.
    """
    if not fakes or not reals:
        raise ValueError("appearance needs at least one translated and one real volume")
    difference = torch.stack(list(fakes)).nanmean(dim=0) - torch.stack(list(reals)).nanmean(dim=0)
    return float(difference.abs().nanmean())


def _quantiles(values: Tensor) -> Tensor:
    if values.numel() == 0:
        return torch.full((len(_QUANTILES),), torch.nan)
    ordered = values.flatten().sort().values  # torch.quantile stops at 16 million values
    return ordered[(_QUANTILES * (len(ordered) - 1)).round().long()].to(torch.float32)


def variety_of_targets(
    fakes: Mapping[tuple[Modality, Modality], Sequence[Tensor]], reals: Mapping[Modality, Sequence[Tensor]]
) -> float:
    """Return how much translations to different modalities differ, in units of how much the real modalities do.

    Args:
        fakes: features `(F,)` of the translations of each (source, target), one entry per case.
        reals: features of the real images of each modality.

    Returns:
        About 1 for sound translations, 0 when the target makes no difference; NaN when there is nothing to compare.
    """
    sources = {source for source, _ in fakes}
    looks = [
        [_mean(features) for (start, _), features in fakes.items() if start == source and features]
        for source in sources
    ]
    return _ratio(
        [_spread(look) for look in looks], [_spread([_mean(features) for features in reals.values() if features])]
    )


def variety_of_inputs(
    fakes: Mapping[tuple[Modality, Modality], Sequence[Tensor]], reals: Mapping[Modality, Sequence[Tensor]]
) -> float:
    """Return how much translations of different cases differ, in units of how much their real images do.

    Returns:
        About 1 for sound translations, 0 when every input gives the same look; NaN with fewer than two cases.
    """
    return _ratio([_spread(f) for f in fakes.values()], [_spread(r) for r in reals.values()])


def _mean(features: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(features)).nanmean(dim=0)


def _spread(looks: Sequence[Tensor]) -> float:
    """Return the mean absolute distance of looks from their mean; NaN for fewer than two."""
    if len(looks) < 2:
        return math.nan
    table = torch.stack(list(looks))
    return float((table - table.nanmean(dim=0)).abs().nanmean())


def _ratio(made: Sequence[float], real: Sequence[float]) -> float:
    """Return the quotient of two means that pass over what is not known."""
    above, below = (torch.tensor(values, dtype=torch.float64).nanmean() for values in (made, real))
    return float(above / below) if float(below) > 0 else math.nan
