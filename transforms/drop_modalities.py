"""Absent modalities: what stands for them, and their random absence in a training."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from utad_monai.transforms.normalise import BACKGROUND


def present_channels(images: Tensor) -> list[int]:
    """Return the channels of `(M, H, W)` images in [-1, 1] that show anything: absent modalities are -1 throughout."""
    return torch.nonzero((images > BACKGROUND).flatten(1).any(dim=1))[:, 0].tolist()


class RandDropModalitiesd(MapTransform, RandomizableTransform):
    """Make random modalities of a sample absent: background throughout, as an evaluation fills with zeros.

    Every set that leaves at least one modality and lacks at least one is as likely. The same modalities are dropped
    from all keys. Images are `(M, H, W)` in [-1, 1] and are not changed in place; those of one modality stay.

    Args:
        keys: keys of the images.
        prob: share of the samples that lack modalities.
        allow_missing_keys: whether absent keys are skipped.

    Raises:
        ValueError: when the share is no share.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.5, *, allow_missing_keys: bool = False) -> None:
        if not 0.0 <= prob <= 1.0:
            raise ValueError(f"the share of samples that lack modalities is from 0 to 1, got {prob}")
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self._dropped: list[int] = []

    def randomize(self, data: Any = None) -> None:
        """Draw which of `data` modalities are dropped, if any."""
        super().randomize(data)
        self._dropped = []
        if self._do_transform and data > 1:
            chosen = int(self.R.randint(1, 2**data - 1))
            self._dropped = np.flatnonzero([chosen >> channel & 1 for channel in range(data)]).tolist()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with some modalities of its images absent."""
        changed = dict(data)
        keys = list(self.key_iterator(changed))
        if keys:
            self.randomize(len(changed[keys[0]]))
        for key in keys:
            images = changed[key].clone()
            images[self._dropped] = BACKGROUND
            changed[key] = images
        return changed
