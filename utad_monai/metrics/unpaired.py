"""A validation score that needs no pairs: what comes back, and whether fakes look like real images of the target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from utad_monai.keys import Modality
from utad_monai.transforms import BACKGROUND

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
