"""Batches that teach: randomised sources, the true target in its standard contrast, and the tumour."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from utad_monai.keys import BatchKey, Modality
from utad_monai.phantom.acquisition import (
    TUMOUR_TISSUES,
    ScanVariation,
    TeachingTissue,
    draw_sequences,
    draw_tissues,
    randomise,
    scan,
)
from utad_monai.phantom.mr_signal import SEQUENCES
from utad_monai.phantom.patient import PatientVariation, draw_patient
from utad_monai.phantom.plane import BrainSlices, paint_slices
from utad_monai.runtime.files import atomic_folder, digest, home_dir
from utad_monai.runtime.folder_lock import locked_folder
from utad_monai.runtime.progress import progress_bar
from utad_monai.transforms import BACKGROUND, BRAIN_FLOOR

_SIZE, _PIXEL_MM = (192, 160), 1.25
"""Of the slices that are kept: a field of view of 240 x 200 mm."""
_FORMAT = 1
"""Raised whenever the same seed paints other slices."""
_AT_ONCE = 8
_WINDOW_SLICES, _WINDOW_VOXELS = 48, 4000
_BINS = 256


class TeachingBrains:
    """Tissue fractions of many slices, each of another patient, painted once and kept on disk.

    Args:
        folder: where they are kept; a folder in it is named by everything that decides them.
        slices: number of slices.
        seed: seed of the patients; slice k depends on the seed and k alone.
        variation: how widely patients differ.
        progress: whether to show a progress bar while they are painted.

    Raises:
        ValueError: when there are no slices.
    """

    def __init__(
        self,
        folder: str | Path,
        slices: int = 4000,
        *,
        seed: int = 0,
        variation: PatientVariation | None = None,
        progress: bool = True,
    ) -> None:
        if slices < 1:
            raise ValueError(f"teaching needs at least one slice, got {slices}")
        self.seed = seed
        self.slices = slices
        self.variation = variation or PatientVariation()
        path = Path(folder) / f"teaching-{digest(self.identity())[:16]}"
        if not (path / "about.json").is_file():
            self._paint(path, progress)
        names = ("fractions", "tumour")
        self._fractions, self._tumour = (np.load(path / f"{name}.npy", mmap_mode="r") for name in names)

    def __len__(self) -> int:
        """Return the number of slices."""
        return self.slices

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the slices, as plain data."""
        numbers = {"format": _FORMAT, "seed": self.seed, "slices": self.slices}
        return numbers | {"variation": asdict(self.variation)}

    def resized(self, places: Sequence[int], size: tuple[int, int]) -> BrainSlices:
        """Return slices in another number of pixels of the same field of view.

        Args:
            places: numbers of the slices.
            size: height H and width W in pixels.
        """
        stored = torch.stack([torch.from_numpy(np.array(self._fractions[place])) for place in places])
        tumour = torch.stack([torch.from_numpy(np.array(self._tumour[place])) for place in places])
        stacked = torch.cat([stored.to(torch.float32) / 255, tumour[:, None].to(torch.float32)], dim=1)
        if tuple(size) != _SIZE:
            stacked = functional.interpolate(stacked, size=size, mode="bilinear", antialias=True)
        fractions, outlined = stacked[:, :-1], stacked[:, -1]
        share = fractions.sum(dim=1)
        brain = share >= 0.5
        fractions = fractions / share.clamp_min(1e-6)[:, None] * brain[:, None]
        return BrainSlices(fractions, brain, tumour=(outlined >= 0.5) & brain)

    @cached_property
    def window_voxels(self) -> Tensor:
        """Fractions `(N, 8)` of voxels of many patients: what the rest of a volume shows."""
        painted = self.resized(range(min(_WINDOW_SLICES, self.slices)), (48, 48))
        voxels = painted.fractions.permute(0, 2, 3, 1)[painted.brain]
        step = max(1, len(voxels) // _WINDOW_VOXELS)
        return voxels[::step].clone()

    def _paint(self, path: Path, progress: bool) -> None:
        shape = (self.slices, len(TeachingTissue), *_SIZE)
        # held while it is painted, which removes what a killed painting left: a gigabyte or more
        with locked_folder(path.parent, shared=True, deep=False), atomic_folder(path) as folder:
            fractions = np.lib.format.open_memmap(folder / "fractions.npy", "w+", np.uint8, shape)
            tumour = np.lib.format.open_memmap(folder / "tumour.npy", "w+", np.bool_, (self.slices, *_SIZE))
            bar = progress_bar(range(0, self.slices, _AT_ONCE), "Painting brains", unit_scale=_AT_ONCE, show=progress)
            for first in bar:
                places = range(first, min(first + _AT_ONCE, self.slices))
                painted = self._painted(places)
                fractions[first : first + len(places)] = (255 * painted.fractions).round().to(torch.uint8).numpy()
                tumour[first : first + len(places)] = painted.tumour.numpy()
            fractions.flush()
            tumour.flush()
            (folder / "about.json").write_text(json.dumps(self.identity(), indent=4), encoding="utf-8")

    def _painted(self, places: Sequence[int]) -> BrainSlices:
        patients = [draw_patient(np.random.default_rng((self.seed, place)), self.variation) for place in places]
        return paint_slices(patients, _SIZE, _PIXEL_MM)


class TeachingBatches(Dataset[dict[str, Any]]):
    """Whole batches of randomised phantom slices; batch `i` depends on `(seed, i)` alone.

    A batch has one size of its slices, so that a network learns coarse and fine pixels, and about as many pixels as
    every other. Sources are randomised, each image on its own; the target has its standard contrast and no noise.

    Args:
        brains: what is scanned.
        sizes: heights and widths that slices may have, multiples of 16.
        shares: how often each size is drawn, relative to the others.
        batch_size: slices in a batch of the first size; larger slices come in smaller batches.
        seed: seed of all draws.
        scans: how widely source images differ.
        source_probability: probability of each modality but the target to be there; at least one is.
        length: number of batches of an epoch.

    Raises:
        ValueError: when sizes and shares differ in number.
    """

    def __init__(
        self,
        brains: TeachingBrains,
        sizes: Sequence[Sequence[int]] = ((96, 80),),
        *,
        shares: Sequence[float] = (1.0,),
        batch_size: int = 8,
        seed: int = 0,
        scans: ScanVariation | None = None,
        source_probability: float = 0.6,
        length: int = 100,
    ) -> None:
        if len(sizes) != len(shares) or not sizes:
            raise ValueError(f"each size needs one share, got {len(sizes)} sizes and {len(shares)} shares")
        self.brains = brains
        self.sizes = tuple((int(height), int(width)) for height, width in sizes)
        self.shares = tuple(share / sum(shares) for share in shares)
        self.batch_size = batch_size
        self.seed = seed
        self.scans = scans or ScanVariation()
        self.source_probability = source_probability
        self.length = length

    def __len__(self) -> int:
        """Return the number of batches of an epoch; the index of a batch has no upper bound."""
        return self.length

    def identity(self) -> dict[str, Any]:
        """Return what decides the batches, as plain data (`utad_monai.handlers.resume.state`)."""
        plain = {name: value for name, value in vars(self).items() if name not in ("brains", "scans", "length")}
        return {"brains": self.brains.identity(), "scans": asdict(self.scans)} | plain

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return batch `index` as a dictionary of `BatchKey` entries.

        Sources are `(B, 4, H, W)` in [-1, 1], absent modalities and background -1; the target image `(B, 1, H, W)`.
        """
        rng = np.random.default_rng((self.seed, index))
        size = self.sizes[rng.choice(len(self.sizes), p=self.shares)]
        pixels = self.sizes[0][0] * self.sizes[0][1]
        count = max(1, round(self.batch_size * pixels / (size[0] * size[1])))
        places = rng.integers(len(self.brains), size=count).tolist()
        slices = self.brains.resized(places, size)
        samples = [self._sample(rng, slices, place) for place in range(count)]
        batch: dict[str, Any] = {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}
        batch[BatchKey.CASE_ID] = [f"phantom {place}" for place in places]
        return batch

    def _sample(self, rng: np.random.Generator, slices: BrainSlices, place: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        fractions, brain, tumour = slices.fractions[place], slices.brain[place], slices.tumour[place]
        if rng.random() < 0.5:
            fractions, brain, tumour = fractions.flip(-1), brain.flip(-1), tumour.flip(-1)
        variation = self.brains.variation
        tissues = draw_tissues(rng, variation.healthy_tissue, variation.tumour_tissue)
        target, present = self._modalities(rng)
        others = self.brains.window_voxels
        taken = scan(fractions, brain, tissues, draw_sequences(rng, self.scans, tissues), others)
        wanted = scan(fractions, brain, tissues, SEQUENCES, others)[target]
        sources = torch.full_like(taken, BACKGROUND)
        chosen = taken[present]
        brains = brain.expand_as(chosen)
        sources[present] = _normalised(randomise(chosen, brains, self.scans, generator), brains)
        return {
            BatchKey.IMAGE: sources,
            BatchKey.TARGET_IMAGE: _normalised(wanted, brain)[None],
            BatchKey.TUMOUR_MASK: tumour[None].to(torch.float32),
            BatchKey.SOURCE_MODALITY: torch.tensor(present[0]),
            BatchKey.TARGET_MODALITY: torch.tensor(target),
        }

    def _modalities(self, rng: np.random.Generator) -> tuple[int, list[int]]:
        """Return a target and the modalities that are there."""
        target = int(rng.integers(len(Modality)))
        others = [modality.channel for modality in Modality if modality.channel != target]
        present = [other for other in others if rng.random() < self.source_probability]
        return target, present or [others[rng.integers(len(others))]]


def default_brains_dir() -> str:
    """Return the folder in the user's own one (`utad_monai.runtime.files`) that keeps painted brains for all runs."""
    return str(home_dir() / "teaching")


def reference_histograms(brains: TeachingBrains, slices: int = 200) -> dict[Modality, list[float]]:
    """Return the histogram of healthy brain in the standard contrast of each modality: 256 shares of [0, 1], sum 1.

    Args:
        brains: whose slices count, each patient with typical tissues of its own.
        slices: how many of them.
    """
    places = range(min(slices, len(brains)))
    painted = brains.resized(places, (96, 80))
    sums = torch.zeros(len(Modality), _BINS)
    for place in places:
        rng = np.random.default_rng((brains.seed, place, 1))
        tissues = draw_tissues(rng, brains.variation.healthy_tissue, brains.variation.tumour_tissue)
        fractions, brain = painted.fractions[place], painted.brain[place]
        images = scan(fractions, brain, tissues, SEQUENCES, brains.window_voxels)
        healthy = brain & (fractions[TUMOUR_TISSUES[0] :].sum(dim=0) < 0.1)
        for channel, image in enumerate(images):
            sums[channel] += torch.histc(image[healthy], _BINS, 0, 1) / healthy.sum().clamp_min(1)
    return {modality: (row / row.sum()).tolist() for modality, row in zip(Modality, sums, strict=True)}


def _normalised(images: Tensor, brain: Tensor) -> Tensor:
    """Map [0, 1] to [-1, 1] in the brain, to exactly -1 outside."""
    return torch.where(brain, (2 * images - 1).clamp(BRAIN_FLOOR, 1.0), torch.full_like(images, BACKGROUND))
