"""Segmentation labels: checked, mapped to canonical values, and turned into tumour regions WT, TC and ET."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform
from torch import Tensor

from utad_monai.errors import InvalidImageError
from utad_monai.keys import TumourLabel
from utad_monai.transforms.load import PROBLEMS, file_of, refuse

LABEL_MEANINGS = "label_meanings"
"""Key of a case's dictionary: the canonical label of each value that its layout stores."""
_REMEDY = "map the labels to the layout's"


class CanonicalLabels(Transform):
    """Map the label values of a layout to 0, 1 (necrotic), 2 (oedema), 3 (enhancing).

    Args:
        meanings: canonical label of each value on disk other than 0; two values may mean the same, as long as a file
            holds only one of them.
    """

    def __init__(self, meanings: Mapping[int, TumourLabel]) -> None:
        self.meanings = {TumourLabel.BACKGROUND.value: TumourLabel.BACKGROUND, **meanings}

    def __call__(self, labels: Tensor) -> Tensor:
        """Return labels of the same shape with canonical values.

        Raises:
            ValueError: when a value is not one of the layout's labels, or two values mean the same label.
        """
        # background is most of it: to sort the rest is thirty times faster
        values = [0.0, *(float(value) for value in labels[labels != 0].unique())]
        unknown = [value for value in values if value not in self.meanings]
        if unknown:
            listed = ", ".join(f"{value:g}" for value in unknown[:5])
            raise ValueError(f"has unknown label values {listed}; allowed are {', '.join(map(str, self.meanings))}")
        self._refuse_two_values_of_one_meaning([int(value) for value in values])
        canonical = labels
        for value, meaning in self.meanings.items():
            if value != meaning:
                canonical = torch.where(labels == value, torch.full_like(labels, meaning.value), canonical)
        return canonical

    def _refuse_two_values_of_one_meaning(self, values: Sequence[int]) -> None:
        first: dict[TumourLabel, int] = {}
        for value in values:
            other = first.setdefault(self.meanings[value], value)
            if other != value:
                meaning = self.meanings[value].name.lower()
                raise ValueError(f"has both label values {other} and {value}, which mean the same ({meaning})")


class StoredLabels(Transform):
    """Map canonical labels to the values that a layout writes: the inverse of `CanonicalLabels`.

    Args:
        meanings: canonical label of each value on disk other than 0; of two with the same meaning the first is written.
    """

    def __init__(self, meanings: Mapping[int, TumourLabel]) -> None:
        self.values = {meanings[value]: value for value in reversed(list(meanings))}

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
            ValueError: when a value is not one of the layout's labels, or two values mean the same label.
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
