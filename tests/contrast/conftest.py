"""Small cohorts of prepared slices whose contrasts are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from utad_monai.data import Preprocessing, SlicedCase, SliceStore
from utad_monai.keys import Modality
from utad_monai.transforms import IntensityWindow

LEVELS = {
    Modality.FLAIR: (0.15, 0.7, 0.45),
    Modality.T1: (0.2, 0.5, 0.8),
    Modality.T1CE: (0.2, 0.45, 0.75),
    Modality.T2: (0.9, 0.6, 0.3),
}
"""Intensity of CSF, grey and white matter on [0, 1]."""
SIZE = 32
Cohort = Callable[..., tuple[SliceStore, list[SlicedCase]]]


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Give `cohort(modalities of each patient, ...)`: concentric tissues of patients that differ in size and place.

    Keyword arguments: `scattered` (False) puts tissues at random places instead, the same in every modality; `tumour`
    (0.0) adds a tumour of that intensity to every image.
    """

    def _cohort(
        patients: Sequence[Sequence[Modality]], scattered: bool = False, tumour: float = 0.0
    ) -> tuple[SliceStore, list[SlicedCase]]:
        cases = [
            _write(tmp_path / f"{number}", f"P{number}", modalities, number, scattered, tumour)
            for number, modalities in enumerate(patients)
        ]
        return SliceStore(cases, Preprocessing(frame_size_mm=(64, 64), image_size=(SIZE, SIZE))), cases

    return _cohort


def _write(
    folder: Path, name: str, modalities: Sequence[Modality], seed: int, scattered: bool, tumour: float
) -> SlicedCase:
    draw = np.random.default_rng(seed)
    depth = 10 + seed % 3
    z, y, x = np.meshgrid(np.linspace(-0.8, 0.8, depth), *[np.linspace(-1, 1, SIZE)] * 2, indexing="ij")
    centre = draw.uniform(-0.08, 0.08, 2)
    radius = np.sqrt(z**2 + (y - centre[0]) ** 2 + (x - centre[1]) ** 2) / draw.uniform(0.85, 0.92)
    brain = radius < 1
    tissue = np.digitize(radius, (0.35, 0.7))
    if scattered:
        tissue = draw.integers(0, 3, radius.shape)
    labels = np.zeros(radius.shape, np.uint8)
    if tumour:
        labels[2:5, 12:20, 12 + seed % 4 : 20] = 2
    folder.mkdir(parents=True)
    for modality in modalities:
        image = np.array(LEVELS[modality])[tissue] + draw.normal(0, 0.02, radius.shape)
        image = np.where(labels > 0, tumour, image).clip(2**-7, 1)
        np.save(folder / f"{modality}.npy", np.where(brain, image * 2 - 1, -1).astype(np.float16))
    np.save(folder / "labels.npy", labels)
    (folder / "case.json").write_text(json.dumps({}), encoding="utf-8")
    windows = {modality: IntensityWindow(0.0, 1.0) for modality in Modality if modality in modalities}
    pixels = tuple(int(count) for count in brain.sum(axis=(1, 2)))
    tumour_pixels = tuple(int(count) for count in (labels > 0).sum(axis=(1, 2)))
    return SlicedCase(
        name,
        name,
        folder=folder,
        windows=windows,
        first_slice=0,
        slice_mm=2.0,
        brain_pixels=pixels,
        tumour_pixels=tumour_pixels,
        warnings=(),
    )
