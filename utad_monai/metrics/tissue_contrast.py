"""Whether a translation shows the tissues as the real image does: their order, and how far they stand apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from utad_monai.keys import Modality
from utad_monai.transforms import BACKGROUND

CLASSES = 3
"""CSF, grey and white matter."""
_LEVELS = 256
_VISIBLE = 1e-3
"""Means that are closer, on [-1, 1], are the same: a flat brain has no order."""
_RIM = 1 / 40
"""Of the frame's width, 5 mm of 200 mm: so much of the brain's border is left out. What skull-stripping leaves there is
part tissue, part nothing, and where tissues hardly differ it became a class of its own: 7 of 28 patients were judged by
their border."""
_SWEEPS = 100
"""Lloyd's algorithm on a histogram settles long before."""
_BRIGHTNESS = {
    Modality.FLAIR: ("CSF", "white matter", "grey matter"),
    Modality.T1: ("CSF", "grey matter", "white matter"),
    Modality.T1CE: ("CSF", "grey matter", "white matter"),
    Modality.T2: ("white matter", "grey matter", "CSF"),
}
"""The tissues from dark to bright in each modality."""

TISSUE_PROTOCOL = {
    "tissue_classes": "three intensity classes of the real target's brain without tumour and without its border of "
    "1/40 of the frame's width (k-means on the histogram), dark to bright: "
    + "; ".join(f"{modality}: {', '.join(tissues)}" for modality, tissues in _BRIGHTNESS.items()),
    "tissue_order": "1 where the classes' mean intensities rise in the translation as in the real target, else 0 "
    "(pixels that are brain in both)",
    "tissue_contrast": "mean difference between classes in the translation / in the real target: "
    "1 as strong, 0 none, negative turned over",
}
"""What the numbers mean; printed beside them."""


def tissue_contrast(real: Tensor, translated: Tensor, tumour_mask: Tensor) -> dict[str, float]:
    """Compare the tissues' mean intensities in a translation with those in the real image.

    The classes are found in the real image, so that every translation of it is asked about the same pixels.

    Args:
        real: `(Z, H, W)` in [-1, 1], background exactly -1.
        translated: the same shape and range.
        tumour_mask: `(Z, H, W)`, 0 or 1; left out.

    Returns:
        `tissue_order`, 1 or 0, and `tissue_contrast`, a ratio; both NaN where the real image has no three classes, and
        0 where the translation has no brain in one of them.

    Raises:
        ValueError: when the shapes differ.
    """
    if not real.shape == translated.shape == tumour_mask.shape:
        raise ValueError(f"shapes differ: {tuple(real.shape)}, {tuple(translated.shape)}, {tuple(tumour_mask.shape)}")
    region = _without_rim(real > BACKGROUND) & (tumour_mask == 0)
    classes = tissue_classes(real[region])
    if len(classes.unique()) < CLASSES:
        return {"tissue_order": math.nan, "tissue_contrast": math.nan}
    shown = translated[region] > BACKGROUND
    true, made = (_class_means(image[region][shown], classes[shown]) for image in (real, translated))
    if bool(made.isnan().any()):
        return {"tissue_order": 0.0, "tissue_contrast": 0.0}
    # neighbours' differences add up to the distance of brightest and darkest
    ratio = float((made[-1] - made[0]) / (true[-1] - true[0]))
    return {"tissue_order": float((made.diff() > _VISIBLE).all()), "tissue_contrast": ratio}


def _without_rim(brain: Tensor) -> Tensor:
    """Return `(Z, H, W)` of a brain without its border in each slice."""
    rim = round(_RIM * brain.shape[-1])
    outside = (~brain).to(torch.float32)[:, None]
    near = functional.max_pool2d(outside, 2 * rim + 1, stride=1, padding=rim)
    return near[:, 0] == 0


def tissue_classes(intensities: Tensor) -> Tensor:
    """Return the class of every intensity, 0 for the darkest to 2: k-means in one dimension, the same every time.

    Args:
        intensities: `(N,)` in [-1, 1], of brain without tumour.

    Returns:
        `(N,)` int64. A class may stay empty where there are fewer than three different intensities.
    """
    levels = ((intensities.to(torch.float64) + 1) / 2 * (_LEVELS - 1)).round().long().clamp(0, _LEVELS - 1)
    return _class_of_level(torch.bincount(levels, minlength=_LEVELS).to(torch.float64))[levels]


def _class_means(values: Tensor, classes: Tensor) -> Tensor:
    """Return the mean of the values of each class; NaN for an empty one."""
    sums = torch.bincount(classes, values.to(torch.float64), minlength=CLASSES)
    return sums / torch.bincount(classes, minlength=CLASSES)


def _class_of_level(histogram: Tensor) -> Tensor:
    """Return the class of each level of a histogram by Lloyd's algorithm, begun at the sixths of its mass."""
    levels = torch.arange(len(histogram), dtype=torch.float64)
    mass = histogram.cumsum(0) / histogram.sum().clamp(min=1)
    starts = torch.tensor([1 / 6, 1 / 2, 5 / 6], dtype=torch.float64)
    centres = torch.searchsorted(mass, starts).to(torch.float64)
    for _ in range(_SWEEPS):
        classes = torch.bucketize(levels, (centres[1:] + centres[:-1]) / 2)
        weight = torch.bincount(classes, histogram, minlength=CLASSES)
        total = torch.bincount(classes, histogram * levels, minlength=CLASSES)
        moved = torch.where(weight > 0, total / weight.clamp(min=1), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return classes
