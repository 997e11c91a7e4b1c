"""Segmentation labels: checked, mapped to canonical values, and turned into tumour regions WT, TC and ET."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform
from torch import Tensor

from utad_monai.keys import TumourLabel


class CanonicalLabels(Transform):
    """Map BraTS label values to 0, 1 (necrotic), 2 (oedema), 3 (enhancing).

    Args:
        enhancing_label: value of the enhancing tumour on disk, 4 until BraTS 2021 and 3 since BraTS 2023.
    """

    def __init__(self, enhancing_label: int = 4) -> None:
        self.enhancing_label = enhancing_label

    def __call__(self, labels: Tensor) -> Tensor:
        """Return labels of the same shape with canonical values.

        Raises:
            ValueError: when a value is not one of the layout's labels.
        """
        allowed = (TumourLabel.BACKGROUND, TumourLabel.NECROTIC, TumourLabel.OEDEMA, self.enhancing_label)
        unknown = sorted({float(value) for value in labels.unique()} - {float(value) for value in allowed})
        if unknown:
            listed = ", ".join(f"{value:g}" for value in unknown[:5])
            raise ValueError(f"has unknown label values {listed}; allowed are {', '.join(map(str, allowed))}")
        return torch.where(labels == self.enhancing_label, torch.full_like(labels, TumourLabel.ENHANCING), labels)


class CanonicalLabelsd(MapTransform):
    """Dictionary version of `CanonicalLabels`."""

    def __init__(self, keys: KeysCollection, enhancing_label: int = 4, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.canonical = CanonicalLabels(enhancing_label)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Map each key's labels.

        Raises:
            ValueError: when a value is not one of the layout's labels.
        """
        mapped = dict(data)
        for key in self.key_iterator(mapped):
            mapped[key] = self.canonical(mapped[key])
        return mapped


class LabelsToTumourRegions(Transform):
    """Turn canonical labels into the nested regions WT, TC and ET of the BraTS challenge."""

    def __call__(self, labels: Tensor) -> Tensor:
        """Return `(3, ...)` float32 in {0, 1}, order of `TumourRegion`, from `(1, ...)` canonical labels.

        Raises:
            ValueError: when `labels` has no leading channel axis of size 1.
        """
        if labels.shape[0] != 1:
            raise ValueError(f"labels need one channel, got shape {tuple(labels.shape)}")
        enhancing = labels == TumourLabel.ENHANCING
        core = enhancing | (labels == TumourLabel.NECROTIC)
        whole = core | (labels == TumourLabel.OEDEMA)
        return torch.cat([whole, core, enhancing]).to(torch.float32)


class LabelsToTumourRegionsd(MapTransform):
    """Dictionary version of `LabelsToTumourRegions`."""

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.to_regions = LabelsToTumourRegions()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert each key's `(1, ...)` labels to `(3, ...)` regions.

        Raises:
            ValueError: when an entry has more than one channel.
        """
        converted = dict(data)
        for key in self.key_iterator(converted):
            converted[key] = self.to_regions(converted[key])
        return converted


def regions_to_labels(regions: Tensor) -> Tensor:
    """Turn `(3, ...)` nested regions (order of `TumourRegion`) into `(1, ...)` canonical uint8 labels."""
    whole, core, enhancing = regions.bool()
    labels = torch.zeros_like(whole, dtype=torch.uint8)
    labels[whole] = TumourLabel.OEDEMA
    labels[whole & core] = TumourLabel.NECROTIC
    labels[whole & enhancing] = TumourLabel.ENHANCING
    return labels[None]
