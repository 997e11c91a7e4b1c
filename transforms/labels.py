"""Segmentation labels: checked, mapped to canonical values, and turned into tumour regions WT, TC and ET."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform
from torch import Tensor

from utad_monai.errors import InvalidImageError
from utad_monai.keys import TumourLabel
from utad_monai.transforms.load import PROBLEMS, file_of, refuse

LABEL_MEANINGS = "label_meanings"
"""Key of a case's dictionary: the canonical label of each value that its segmentation stores."""
_REMEDY = "map them to these, or say what they mean in label_set.json in the cohort's folder (docs/data.md)"
WHOLE_TOLERANCE = 0.01
"""A label this near a whole number is that number: resampling and scaling by a header make such values."""


def whole_labels(labels: Tensor) -> Tensor:
    """Return labels with every value within `WHOLE_TOLERANCE` of a whole number rounded; others stay."""
    if not labels.is_floating_point():
        return labels
    rounded = labels.round()
    if torch.equal(rounded, labels):
        return labels
    return torch.where((labels - rounded).abs() <= WHOLE_TOLERANCE, rounded, labels)


class CanonicalLabels(Transform):
    """Map the label values of a cohort to 0, 1 (necrotic), 2 (oedema), 3 (enhancing).

    Values within `WHOLE_TOLERANCE` of whole numbers are rounded.

    Args:
        meanings: canonical label of each value on disk other than 0; 0 for what is no tumour, such as a cavity.
    """

    def __init__(self, meanings: Mapping[int, TumourLabel]) -> None:
        self.meanings = {TumourLabel.BACKGROUND.value: TumourLabel.BACKGROUND, **meanings}

    def __call__(self, labels: Tensor) -> Tensor:
        """Return labels of the same shape with canonical values.

        Raises:
            ValueError: when a value is not one of the known labels.
        """
        labels = whole_labels(labels)
        # background is most of it: to sort the rest is thirty times faster
        values = [0.0, *(float(value) for value in labels[labels != 0].unique())]
        unknown = [value for value in values if value not in self.meanings]
        if unknown:
            listed = ", ".join(f"{value:g}" for value in unknown[:5])
            raise ValueError(f"has unknown label values {listed}; allowed are {', '.join(map(str, self.meanings))}")
        canonical = labels
        for value, meaning in self.meanings.items():
            if value != meaning:
                canonical = torch.where(labels == value, torch.full_like(labels, meaning.value), canonical)
        return canonical


class StoredLabels(Transform):
    """Map canonical labels to the values that a layout writes: the inverse of `CanonicalLabels`.

    Args:
        meanings: canonical label of each value on disk other than 0; of two with the same meaning the first is
            written, and background is 0.
    """

    def __init__(self, meanings: Mapping[int, TumourLabel]) -> None:
        self.values = {meanings[value]: value for value in reversed(list(meanings)) if meanings[value]}

    def __call__(self, labels: Tensor) -> Tensor:
        """Return canonical labels as a tensor of the same shape and type with the layout's values.

        Raises:
            ValueError: when a label is not canonical, or the layout has no value for it.
        """
        known = {TumourLabel.BACKGROUND, *self.values}
        unknown = sorted({float(value) for value in labels.unique()} - {float(label) for label in known})
        if unknown:
            raise ValueError(f"has labels {', '.join(f'{value:g}' for value in unknown[:5])} that cannot be written")
        stored = labels
        for label, value in self.values.items():
            stored = torch.where(labels == label.value, torch.full_like(labels, value), stored)
        return stored


class CanonicalLabelsd(MapTransform):
    """Dictionary version of `CanonicalLabels`.

    Args:
        keys: segmentations.
        meanings: see `CanonicalLabels`; those of the case, under `LABEL_MEANINGS`, when None.
        allow_missing_keys: whether absent keys are skipped.
    """

    def __init__(
        self,
        keys: KeysCollection,
        meanings: Mapping[int, TumourLabel] | None = None,
        *,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.meanings = meanings

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Map each key's labels.

        Raises:
            ValueError: when a value is not one of the known labels.
        """
        mapped = dict(data)
        for key in self.key_iterator(mapped):
            meanings = mapped[LABEL_MEANINGS] if self.meanings is None else self.meanings
            try:
                mapped[key] = CanonicalLabels(meanings)(mapped[key])
            except ValueError as error:
                if PROBLEMS not in mapped:
                    raise
                refuse(mapped, InvalidImageError(file_of(mapped[key]), str(error), _REMEDY), key)
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
