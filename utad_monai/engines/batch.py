"""What one training step is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from utad_monai.keys import BatchKey
from utad_monai.transforms import mask_tumour


@dataclass(frozen=True)
class TranslationBatch:
    """One batch on the training device; unpaired but where it holds true targets.

    Attributes:
        image: `x`, `(B, 1, H, W)` in [-1, 1], background exactly -1; of several sources `(B, M, H, W)`, each in its
            channel.
        tumour_mask: `M`, `(B, 1, H, W)`, 0 or 1.
        source_modality: `s`, `(B,)` int64; of several sources one of them.
        target_modality: `m`, `(B,)` int64.
        case_ids: the case of each slice.
        between: `(B, 2)` in [0, 1), where each critic's gradient penalty is measured; drawn when None.
        first: place of its first slice in the batch that the loader gave.
        target_image: the true target `(B, 1, H, W)` in [-1, 1], where a method is taught by pairs; else None.
        paired: `(B,)` bool, of which samples `target_image` is the true target; of all when None.
        labels: `(B, 1, H, W)` int64, values of `TumourLabel`; None where only the tumour's mask is known.
        masked_image: `t`, the shape of the image, where the data set masked it already (`MaskTumourd`); else None.
    """

    image: Tensor
    tumour_mask: Tensor
    _: KW_ONLY
    source_modality: Tensor
    target_modality: Tensor
    case_ids: Sequence[str]
    between: Tensor | None = None
    first: int = 0
    target_image: Tensor | None = None
    paired: Tensor | None = None
    labels: Tensor | None = None
    masked_image: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self.image)

    @property
    def tumour_image(self) -> Tensor:
        """`t = x (.) M`, the shape of the image, in [-1, 1]."""
        return mask_tumour(self.image, self.tumour_mask) if self.masked_image is None else self.masked_image

    @property
    def source_image(self) -> Tensor:
        """The image of the source modality alone, `(B, 1, H, W)`."""
        return self._of_source(self.image)

    @property
    def source_tumour_image(self) -> Tensor:
        """`t` of the source modality alone, `(B, 1, H, W)`."""
        return self._of_source(self.tumour_image)

    def truth_or(self, painted: Tensor) -> Tensor:
        """Return the true target of the samples that have one, and what was painted, `(B, 1, H, W)`, of the others."""
        if self.target_image is None or self.paired is None:
            return painted
        return torch.where(self.paired[:, None, None, None], self.target_image, painted)

    def alpha(self, critic: int) -> Tensor | None:
        """Return `(B,)`, where the gradient penalty of critic 0 (whole images) or 1 (tumour images) is measured."""
        return None if self.between is None else self.between[:, critic]

    def parts(self, count: int) -> list[TranslationBatch]:
        """Return the batch cut into at most so many parts, all but the last of the same size."""
        size = -(-len(self) // count)
        return [self._from(first, first + size) for first in range(0, len(self), size)]

    def _of_source(self, images: Tensor) -> Tensor:
        if images.shape[1] == 1:
            return images
        return images[torch.arange(len(images), device=images.device), self.source_modality][:, None]

    def _from(self, first: int, end: int) -> TranslationBatch:
        tensors = {name: value[first:end] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors, case_ids=self.case_ids[first:end], first=first)  # type: ignore[arg-type]


_OPTIONAL = {
    "between": BatchKey.BETWEEN,
    "labels": BatchKey.TUMOUR_LABELS,
    "masked_image": BatchKey.TUMOUR_IMAGE,
    "paired": BatchKey.PAIRED,
}
"""What a data set need not give, by the field that it fills."""


def prepare_translation_batch(
    batchdata: dict[str, Any], device: torch.device | str, non_blocking: bool = False, **_: Any
) -> TranslationBatch:
    """Move a batch of `UnpairedSlices` or `PairedSlices` to the device (the `prepare_batch` of MONAI engines).

    A target image enters only beside the word which samples are paired.
    """
    image, mask, source, target = (
        batchdata[key].to(device, non_blocking=non_blocking)
        for key in (BatchKey.IMAGE, BatchKey.TUMOUR_MASK, BatchKey.SOURCE_MODALITY, BatchKey.TARGET_MODALITY)
    )
    further = {
        name: batchdata[key].to(device, non_blocking=non_blocking)
        for name, key in _OPTIONAL.items()
        if key in batchdata
    }
    if BatchKey.PAIRED in batchdata:
        further["target_image"] = batchdata[BatchKey.TARGET_IMAGE].to(device, non_blocking=non_blocking)
    return TranslationBatch(
        image,
        mask,
        source_modality=source,
        target_modality=target,
        case_ids=list(batchdata[BatchKey.CASE_ID]),
        **further,
    )


def prepare_teaching_batch(
    batchdata: dict[str, Any], device: torch.device | str, non_blocking: bool = False, **_: Any
) -> TranslationBatch:
    """Move a batch of `TeachingBatches` to the device, the true target image included."""
    batch = prepare_translation_batch(batchdata, device, non_blocking)
    return replace(batch, target_image=batchdata[BatchKey.TARGET_IMAGE].to(device, non_blocking=non_blocking))
