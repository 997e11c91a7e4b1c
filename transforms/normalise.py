"""Skull-stripped normalisation: the brain's own percentile window to [-1, 1], background exactly -1."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import TraceKeys
from torch import Tensor

from utad_monai.errors import InvalidImageError
from utad_monai.transforms.load import CHANNEL, PROBLEMS, file_of, refuse

BACKGROUND = -1.0
"""Normalised intensity of everything that is not brain."""
BRAIN_FLOOR = BACKGROUND + 2**-7
"""Darkest normalised brain intensity: above the background (also in float16), so that `> BACKGROUND` is the brain."""


@dataclass(frozen=True)
class IntensityWindow:
    """The intensities, in file units, that map to the ends of [-1, 1].

    Args:
        lower: intensity that maps to -1.
        upper: intensity that maps to 1; greater than `lower`.

    Raises:
        ValueError: when the window is empty.
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not self.upper > self.lower:
            raise ValueError(f"an intensity window needs upper > lower, got [{self.lower}, {self.upper}]")

    def normalise(self, image: Tensor, brain: Tensor) -> Tensor:
        """Map file units to [-1, 1] inside the brain mask (any shape), to exactly -1 outside."""
        scaled = image - self.lower  # a new tensor; fresh memory for every step would cost more than the arithmetic
        scaled.div_(self.upper - self.lower).mul_(2).sub_(1).clamp_(BRAIN_FLOOR, 1.0)
        return scaled.masked_fill_(~brain, BACKGROUND)

    def denormalise(self, image: Tensor) -> Tensor:
        """Map [-1, 1] back to file units inside the brain, to exactly 0 outside (any shape)."""
        restored = (image + 1) / 2 * (self.upper - self.lower) + self.lower
        return torch.where(image > BACKGROUND, restored, torch.zeros_like(restored))


def brain_window(image: Tensor, lower_percentile: float = 0.5, upper_percentile: float = 99.5) -> IntensityWindow:
    """Find the percentile window of the brain (nonzero voxels) of one volume of any shape.

    Raises:
        ValueError: when the image has no nonzero voxel, or its brain is constant.
    """
    voxels = image.numpy().ravel(order="K")  # as they lie in memory: any other order is ten times slower
    brain = torch.from_numpy(voxels[voxels != 0])
    if brain.numel() == 0:
        raise ValueError("is all zero: there is no foreground")
    # kthvalue has no size limit (torch.quantile stops at 16 million voxels) and returns stored intensities
    ranks = [round(p / 100 * (brain.numel() - 1)) + 1 for p in (lower_percentile, upper_percentile)]
    lower, upper = (float(brain.kthvalue(rank).values) for rank in ranks)
    if not upper > lower:
        raise ValueError(f"is constant inside the brain ({lower:g}): there is nothing to normalise")
    return IntensityWindow(lower, upper)


class NormaliseBrain(InvertibleTransform):
    """Scale a skull-stripped volume to [-1, 1] by the percentile window of its brain (voxels that are not 0).

    The window is found on the whole volume, so that neighbouring slices keep their relation.

    Args:
        lower_percentile: percentile of brain intensities that maps to -1, in [0, 100).
        upper_percentile: percentile of brain intensities that maps to 1, above the lower one.

    Raises:
        ValueError: when the percentiles are not ordered within [0, 100].
    """

    def __init__(self, lower_percentile: float = 0.5, upper_percentile: float = 99.5) -> None:
        if not 0 <= lower_percentile < upper_percentile <= 100:
            raise ValueError(
                f"percentiles must be 0 <= lower < upper <= 100, got {lower_percentile}, {upper_percentile}"
            )
        self.lower_percentile = lower_percentile
        self.upper_percentile = upper_percentile

    def __call__(self, image: MetaTensor) -> MetaTensor:
        """Return `image` (any shape, file units, background 0) in [-1, 1] with background exactly -1.

        Raises:
            ValueError: when the image has no brain or a constant one.
        """
        image = MetaTensor(image) if not isinstance(image, MetaTensor) else image
        window = brain_window(image.as_tensor(), self.lower_percentile, self.upper_percentile)
        normalised: MetaTensor = window.normalise(image, image != 0)  # type: ignore[assignment]  # keeps its type
        extra_info = {"lower": window.lower, "upper": window.upper}
        self.push_transform(normalised, extra_info=extra_info)  # type: ignore[no-untyped-call]
        return normalised

    def inverse(self, data: MetaTensor) -> Tensor:
        """Return a normalised MetaTensor in file units; its own window was recorded when it was normalised."""
        info = self.pop_transform(data)[TraceKeys.EXTRA_INFO]
        return IntensityWindow(info["lower"], info["upper"]).denormalise(data)

    @staticmethod
    def window_of(normalised: MetaTensor) -> IntensityWindow:
        """Return the window that was recorded on a normalised image, whichever instance normalised it.

        Raises:
            LookupError: when the image was changed since, or never normalised.
        """
        info = normalised.applied_operations[-1][TraceKeys.EXTRA_INFO]
        return IntensityWindow(info["lower"], info["upper"])


class NormaliseBraind(MapTransform, InvertibleTransform):
    """Dictionary version of `NormaliseBrain`.

    An image of a file that cannot be normalised goes to `PROBLEMS` where the dictionary has that list.
    """

    def __init__(
        self,
        keys: KeysCollection,
        lower_percentile: float = 0.5,
        *,
        upper_percentile: float = 99.5,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.normalise = NormaliseBrain(lower_percentile, upper_percentile)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Normalise each key's image.

        Raises:
            ValueError: when an image has no brain or a constant one.
        """
        normalised = dict(data)
        for key in self.key_iterator(normalised):
            try:
                normalised[key] = self.normalise(normalised[key])
            except ValueError as error:
                if PROBLEMS not in normalised:
                    raise
                refuse(normalised, _unusable(key, normalised[key], str(error)), key)
        return normalised

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Bring each key's image back to file units."""
        restored = dict(data)
        for key in self.key_iterator(restored):
            restored[key] = self.normalise.inverse(restored[key])
        return restored


class KeepBackgroundd(MapTransform):
    """Put normalised images back into their range after other transforms: -1 outside the brain, above it inside.

    Args:
        keys: images of any shape, [-1, 1] before the other transforms.
        brain_key: entry with the bool mask of the brain, of the same shape.
        allow_missing_keys: whether absent keys are skipped.
    """

    def __init__(self, keys: KeysCollection, brain_key: str, *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.brain_key = brain_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with every image in its range; an image that never left it stays as it is."""
        kept = dict(data)
        for key in self.key_iterator(kept):
            image = kept[key].clamp(BRAIN_FLOOR, 1.0)
            kept[key] = image.masked_fill(~kept[self.brain_key].bool(), BACKGROUND)
        return kept


def _unusable(modality: Hashable, image: MetaTensor, reason: str) -> InvalidImageError:
    """Return the error of a file; of a file with several modalities it names the channel."""
    channel = image.meta.get(CHANNEL)
    named = reason if channel is None else f"channel {channel} ({modality}) {reason}"
    return InvalidImageError(file_of(image), named, "replace the image or leave it out")
