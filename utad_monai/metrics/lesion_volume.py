"""Did the lesion grow or shrink in translation?"""

from __future__ import annotations

import math

from torch import Tensor

from utad_monai.keys import TumourRegion


def lesion_volume_change(predicted: Tensor, truth: Tensor) -> dict[TumourRegion, float]:
    """Return the relative change of each region's volume, as the downstream network sees it.

    Args:
        predicted: `(3, Z, H, W)` in {0, 1}, order of `TumourRegion`, segmented with the synthetic image.
        truth: the reference, the same.

    Returns:
        `(predicted - true) / true` volume per region: -1 for a lesion that vanished, 0 for the same size; NaN where the
        reference is empty.
    """
    changes = {}
    for region, made, real in zip(TumourRegion, predicted, truth, strict=True):
        volume = float(real.sum())
        changes[region] = (float(made.sum()) - volume) / volume if volume else math.nan
    return changes
