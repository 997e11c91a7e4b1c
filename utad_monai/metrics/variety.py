"""Do translations differ where real images do? A generator that collapsed gives one look to everything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from utad_monai.keys import Modality


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
