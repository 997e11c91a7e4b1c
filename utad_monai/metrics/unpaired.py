"""A validation score that needs no pairs: what comes back, and whether fakes look like real images of the target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from transforms import BACKGROUND

_QUANTILES = torch.linspace(0.05, 0.95, 19)

FEATURES = 3 * len(_QUANTILES)
"""Length of the feature vector of one volume."""


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
