"""Image quality of every method, and of those that take several sources by how many they are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from utad_monai.contrast import TranslationMethod, takes_several
from utad_monai.keys import Modality
from utad_monai.metrics.image_quality import image_quality
from utad_monai.metrics.tissue_contrast import tissue_contrast
from utad_monai.transforms import BACKGROUND

QUALITY = (
    *("ssim", "psnr", "nmse", "mae"),
    *("tumour_ssim", "tumour_psnr", "tumour_nmse", "tumour_mae"),
    *("tissue_order", "tissue_contrast"),
)
"""What is measured of every translation."""
SOURCES = "sources"
"""The column with the number of sources."""
_PROTOCOL = (
    "methods that take several sources at once, by the number of sources that they are given: mean over cases, targets "
    "and all subsets of so many of the case's other modalities"
)


def sources_protocol(slices: int = 0) -> dict[str, str]:
    """Return what the numbers by sources mean; printed beside them.

    Args:
        slices: of each case at most so many are measured; 0 for all.
    """
    thinned = f", on at most {slices} slices of each case, evenly spaced" if slices else ""
    return {"image_quality_by_sources": _PROTOCOL + thinned}


def method_quality(made: Mapping[str, Tensor], real: Tensor, tumour_mask: Tensor) -> dict[str, float]:
    """Measure translations of several methods to one target.

    Args:
        made: `(Z, H, W)` in [-1, 1] by method.
        real: the true target, the same shape and range, background exactly -1.
        tumour_mask: `(Z, H, W)` whole tumour, 0 or 1.

    Returns:
        `<method>_<measure>` for every measure of `QUALITY`.
    """
    row: dict[str, float] = {}
    for name, image in made.items():
        quality = image_quality(real, image, tumour_mask) | tissue_contrast(real, image, tumour_mask)
        row |= {f"{name}_{metric}": quality[metric] for metric in QUALITY}
    return row


def evenly_spaced(images: Mapping[Modality, Tensor], count: int) -> Tensor:
    """Return the places of at most `count` slices, evenly spaced over those that show brain in any image.

    Args:
        images: `(Z, H, W)` in [-1, 1].
        count: at least 1.
    """
    brain = torch.stack([image > BACKGROUND for image in images.values()]).any(dim=0)
    shown = brain.flatten(1).any(dim=1).nonzero()[:, 0]
    if len(shown) <= count:
        return shown
    return shown[((torch.arange(count) + 0.5) * len(shown) / count).long()]


def several_sources(
    methods: Mapping[str, TranslationMethod],
    images: Mapping[Modality, Tensor],
    tumour_mask: Tensor,
    least: int = 2,
) -> Iterator[dict[str, Any]]:
    """Measure every target of a case from every subset of its other modalities.

    Args:
        methods: the methods by name; those of one source are left out.
        images: `(Z, H, W)` in [-1, 1] of the modalities that the case has.
        tumour_mask: `(Z, H, W)` whole tumour, 0 or 1.
        least: number of modalities in the smallest subsets.

    Yields:
        One row per target and subset: `target`, `sources` (their number) and the columns of `method_quality`; none
        where no method takes several.
    """
    several = {name: translate for name, translate in methods.items() if takes_several(translate)}
    if not several:
        return
    for target, real in images.items():
        others = [modality for modality in images if modality != target]
        for count in range(least, len(others) + 1):
            for sources in combinations(others, count):
                given = {source: images[source] for source in sources}
                made = {name: translate(given, target, tumour_mask) for name, translate in several.items()}
                yield {"target": str(target), SOURCES: count} | method_quality(made, real, tumour_mask)
