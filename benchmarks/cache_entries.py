"""Cohorts of any size made of one prepared case, and the memory of a process that draws from them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from monai.transforms import Compose, RandFlipd
from torch.utils.data import DataLoader

from utad_monai.data import EpochSampler, Preprocessing, SliceStore, UnpairedSlices
from utad_monai.data.slice_store import _INDEX, _read_index

FLIP = Compose([RandFlipd(["image", "tumour_mask", "tumour_labels", "brain"], prob=0.5, spatial_axis=1)])


def grown_cohort(entry: Path, folder: Path, number: int) -> None:
    """Write so many cache entries: hard links to the slices of one, each with a name of its own."""
    index = json.loads((entry / _INDEX).read_text(encoding="utf-8"))
    for place in range(number):
        copy = folder / f"{place:05d}"
        copy.mkdir(parents=True)
        for path in entry.glob("*.npy"):
            os.link(path, copy / path.name)
        renamed = index | {"case_id": f"case {place}", "patient_id": f"case {place}"}
        (copy / _INDEX).write_text(json.dumps(renamed), encoding="utf-8")


def memory_of(folder: Path, preprocessing: Preprocessing, batches: int, batch_size: int) -> dict[str, Any]:
    """Draw batches from a grown cohort; return this process's resident memory, its own and that of mapped files."""
    cases = [case for case in map(_read_index, sorted(folder.iterdir())) if case is not None]
    dataset = UnpairedSlices(SliceStore(cases, preprocessing), cases, tumour_fraction=0.7, transform=FLIP)
    for _ in DataLoader(dataset, batch_size, sampler=EpochSampler(dataset, batches * batch_size)):
        pass
    return {"anonymous_mb": _resident("RssAnon"), "file_mb": _resident("RssFile")}


def _resident(kind: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(kind))
