"""The random transform of the training bundles."""

from __future__ import annotations

from monai.transforms import Compose, RandFlipd

from utad_monai.keys import BatchKey


def random_flip(*further: str) -> Compose:
    """Return what mirrors a sample of `UnpairedSlices`, and further entries, left-right with probability 1/2."""
    keys = [BatchKey.IMAGE, BatchKey.TUMOUR_MASK, BatchKey.TUMOUR_LABELS, BatchKey.BRAIN, *further]
    return Compose([RandFlipd(keys, prob=0.5, spatial_axis=1)])
