"""The tumour image `t = x (.) M`, and a crop around the tumour for figures and region metrics."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform, generate_spatial_bounding_box
from torch import Tensor

from utad_monai.transforms.normalise import BACKGROUND


def mask_tumour(image: Tensor, tumour_mask: Tensor) -> Tensor:
    """Keep the image inside the tumour mask and set everything else to -1: `t = x (.) M`.

    The product is taken in [0, 1] intensity space and mapped back (Huang, Wei, Li 2024, section III), so it is
    differentiable in the image and an empty mask gives -1 everywhere.

    Args:
        image: `(..., H, W)` in [-1, 1].
        tumour_mask: 0 or 1, broadcastable to the image.

    Returns:
        The tumour image, same shape and range as `image`.
    """
    return (image - BACKGROUND) * tumour_mask + BACKGROUND


class MaskTumour(Transform):
    """Array version of `mask_tumour`: image `(C, ...)` in [-1, 1] and mask `(1, ...)` to the tumour image."""

    def __call__(self, image: Tensor, tumour_mask: Tensor) -> Tensor:
        """Return the image inside the mask, -1 outside.

        Raises:
            ValueError: when image and mask differ in their spatial shape.
        """
        _check_same_grid(image, tumour_mask)
        return mask_tumour(image, tumour_mask)


class MaskTumourd(MapTransform):
    """Dictionary version of `MaskTumour`.

    Args:
        keys: images to mask.
        mask_key: entry that holds the tumour mask `(1, ...)`.
        masked_key: entry for the tumour image of the one key; each image is replaced by its tumour image when None.
        allow_missing_keys: whether absent keys are skipped.

    Raises:
        ValueError: when several keys would go to one entry.
    """

    def __init__(
        self, keys: KeysCollection, mask_key: str, *, masked_key: str | None = None, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if masked_key is not None and len(self.keys) > 1:
            raise ValueError(f"masked_key takes the tumour image of one key, got {', '.join(map(str, self.keys))}")
        self.mask_key = mask_key
        self.masked_key = masked_key
        self.mask_tumour = MaskTumour()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Mask each key's image.

        Raises:
            ValueError: when image and mask differ in their spatial shape.
        """
        masked = dict(data)
        for key in self.key_iterator(masked):
            masked[self.masked_key or key] = self.mask_tumour(masked[key], masked[self.mask_key])
        return masked


class CropTumour(Transform):
    """Crop an image to the bounding box of the tumour, with a margin.

    Args:
        margin: voxels or pixels added on every side, cut at the image border.
        min_size: smallest side of the crop in voxels or pixels, so that windowed metrics fit.
    """

    def __init__(self, margin: int = 4, min_size: int = 16) -> None:
        self.margin = margin
        self.min_size = min_size

    def __call__(self, image: Tensor, tumour_mask: Tensor) -> Tensor:
        """Return the crop of `image` `(C, ...)` around `tumour_mask` `(1, ...)`; the whole image for an empty mask.

        Raises:
            ValueError: when image and mask differ in their spatial shape.
        """
        _check_same_grid(image, tumour_mask)
        return image[(slice(None), *self.box(tumour_mask))]

    def box(self, tumour_mask: Tensor) -> tuple[slice, ...]:
        """Return the spatial slices of the crop for a mask `(1, ...)`."""
        shape = tumour_mask.shape[1:]
        if not bool(tumour_mask.any()):
            return tuple(slice(0, size) for size in shape)
        start, end = generate_spatial_bounding_box(tumour_mask, margin=self.margin, allow_smaller=True)
        return tuple(self._widen(a, b, size) for a, b, size in zip(start, end, shape, strict=True))

    def _widen(self, start: int, end: int, size: int) -> slice:
        wanted = min(max(end - start, self.min_size), size)
        start = min(max(0, start - (wanted - (end - start)) // 2), size - wanted)
        return slice(start, start + wanted)


class CropTumourd(MapTransform):
    """Dictionary version of `CropTumour`: every key is cropped to the same box.

    Args:
        keys: images to crop.
        mask_key: entry that holds the tumour mask `(1, ...)`.
        margin: see `CropTumour`.
        min_size: see `CropTumour`.
        allow_missing_keys: whether absent keys are skipped.
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_key: str,
        *,
        margin: int = 4,
        min_size: int = 16,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key
        self.crop = CropTumour(margin, min_size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Crop each key's image.

        Raises:
            ValueError: when image and mask differ in their spatial shape.
        """
        cropped = dict(data)
        tumour_mask = cropped[self.mask_key]
        for key in self.key_iterator(cropped):
            cropped[key] = self.crop(cropped[key], tumour_mask)
        return cropped


def _check_same_grid(image: Tensor, tumour_mask: Tensor) -> None:
    shapes: Sequence[torch.Size] = (image.shape[1:], tumour_mask.shape[1:])
    if shapes[0] != shapes[1]:
        raise ValueError(f"image and tumour mask differ in shape: {tuple(shapes[0])} and {tuple(shapes[1])}")
