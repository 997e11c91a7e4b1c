"""The rival of drawing batches: the pipeline that MONAI's tutorials show, on the same files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import CacheDataset, PersistentDataset
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    MapTransform,
    Orientationd,
    RandFlipd,
    RandSpatialCropd,
    Resize,
    Resized,
    ScaleIntensityRange,
    SpatialCrop,
    SqueezeDimd,
)
from torch import Tensor
from torch.utils.data import DataLoader

from utad_monai.data import Case, Preprocessing, SliceStore, UnpairedSlices
from utad_monai.data.preprocessing import load_case
from utad_monai.keys import BatchKey, Modality
from utad_monai.transforms import BACKGROUND, FramePlacement, IntensityWindow

_KEYS = (BatchKey.IMAGE.value, BatchKey.LABEL.value)
"""Plain strings: MONAI reads a cache with enum members back as a damaged one."""


class _InFrame(MapTransform):
    """Crop to the frame and scale to [-1, 1]: window and placement are given, so that both pipelines see the same."""

    def __init__(self) -> None:
        super().__init__(_KEYS)

    def __call__(self, data: dict[Any, Any]) -> dict[Any, Any]:
        """Crop and scale one image and its labels."""
        (rows, columns), (height, width) = data["start"], data["size"]
        crop = SpatialCrop(roi_start=(columns, rows, 0), roi_end=(columns + width, rows + height, 100_000))
        scale = ScaleIntensityRange(*data["window"], BACKGROUND, 1.0, clip=True)
        image = crop(data[BatchKey.IMAGE])
        scaled = torch.where(image > 0, scale(image), BACKGROUND)
        return dict(data) | {
            BatchKey.IMAGE.value: scaled,
            BatchKey.LABEL.value: (crop(data[BatchKey.LABEL]) > 0).float(),
        }


class PlainPipeline:
    """`LoadImaged` to a random axial slice, one item for each image of a case.

    Args:
        cases: where the files are.
        preprocessing: frame and size of slices.
        store: the same cases, prepared; gives the windows.
    """

    def __init__(self, cases: Sequence[Case], preprocessing: Preprocessing, store: SliceStore) -> None:
        self.size = preprocessing.image_size
        self.items = {
            (case.case_id, modality): _item(case, modality, placement, store.cases[case.case_id].windows[modality])
            for case in cases
            for placement in [load_case(case, preprocessing).placement]
            for modality in case.images
        }
        self.volume = Compose([LoadImaged(_KEYS), EnsureChannelFirstd(_KEYS), Orientationd(_KEYS, "LPS"), _InFrame()])
        self.whole = Compose(
            [
                *self.volume.transforms,  # a Compose inside counts as random: nothing would be cached
                RandSpatialCropd(_KEYS, roi_size=(-1, -1, 1), random_size=False),
                SqueezeDimd(_KEYS, dim=-1),
                Resized(_KEYS, self.size[::-1], mode=("area", "nearest")),
                RandFlipd(_KEYS, prob=0.5, spatial_axis=0),
            ]
        )

    def difference(self, dataset: UnpairedSlices, index: int) -> float:
        """Return the mean difference, in the brain, of one of our samples and the same slice of this pipeline."""
        sample = dataset[index]
        modality = tuple(Modality)[sample[BatchKey.SOURCE_MODALITY]]
        place = dataset.store.cases[sample[BatchKey.CASE_ID]].first_slice + sample[BatchKey.SLICE_INDEX]
        volume = self.volume(self.items[sample[BatchKey.CASE_ID], modality])[BatchKey.IMAGE].as_tensor()
        plane = Resize(self.size[::-1], mode="area")(volume[..., place]).as_tensor().transpose(1, 2)
        ours: Tensor = sample[BatchKey.IMAGE].flip(-1) if sample[BatchKey.MIRRORED] else sample[BatchKey.IMAGE]
        if plane.shape != ours.shape:
            raise AssertionError(f"slices have other shapes: {tuple(plane.shape)}, {tuple(ours.shape)}")
        inside = -torch.nn.functional.max_pool2d(-(ours > BACKGROUND).float(), 5, 1, 2) > 0
        return float((plane - ours).abs()[inside].mean()) if bool(inside.any()) else 0.0

    def loader(
        self, kind: str, folder: Path, dataset: UnpairedSlices, drawn: int, batch_size: int
    ) -> DataLoader[dict[str, Any]]:
        """Return a loader over the images that our data set draws, in its order.

        Args:
            kind: `persistent` (volumes on disk) or `cached` (volumes in memory).
            folder: for volumes on disk.
            dataset: ours.
            drawn: how many samples an epoch has.
            batch_size: samples of a batch.
        """
        keys = list(self.items)
        samples = [dataset[index] for index in range(drawn)]
        order = [keys.index((one[BatchKey.CASE_ID], tuple(Modality)[one[BatchKey.SOURCE_MODALITY]])) for one in samples]
        items = list(self.items.values())
        rival = (
            PersistentDataset(items, self.whole, folder)
            if kind == "persistent"
            else CacheDataset(items, self.whole, num_workers=1, progress=False)
        )
        return DataLoader(rival, batch_size, sampler=order, collate_fn=_collate)


def _collate(batch: list[dict[str, Any]]) -> dict[str, Tensor]:
    return {key: torch.stack([one[key].as_tensor().transpose(1, 2) for one in batch]) for key in _KEYS}


def _item(case: Case, modality: Modality, placement: FramePlacement, window: IntensityWindow) -> dict[str, Any]:
    return {
        BatchKey.IMAGE.value: case.images[modality],
        BatchKey.LABEL.value: case.segmentation,
        "start": placement.start,
        "size": placement.size,
        "window": (window.lower, window.upper),
    }
