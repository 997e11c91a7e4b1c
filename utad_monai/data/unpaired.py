"""Unpaired training samples: an image slice, its tumour mask and a target modality, drawn at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Randomizable, Transform
from monai.utils import TraceKeys
from torch.utils.data import Dataset, RandomSampler, Sampler

from utad_monai.data.case_volumes import run_transforms
from utad_monai.data.quality.finding import CohortError
from utad_monai.data.slice_store import SlicedCase, SliceStore
from utad_monai.keys import BatchKey, Modality
from utad_monai.runtime.files import digest
from utad_monai.runtime.parallel import from_every_process, rank, world_size
from utad_monai.transforms import BACKGROUND

_FLIP = "RandFlipd"
"""MONAI's own: it is followed by whatever looks up the true slice (`BatchKey.MIRRORED`)."""
_FURTHER_SOURCE = 0.6
"""Probability of each further modality of the patient to be a source, too."""
_Index = np.ndarray[Any, np.dtype[np.int32]]


class UnpairedSlices(Dataset[dict[str, Any]]):
    """Slices for training: images of a patient and a target modality, never the patient's own image of the target.

    Sample `i` depends on `(seed, i)` alone, whatever was drawn before: any worker, rank or resumed run draws the same.

    Args:
        store: prepared slices.
        cases: cases to draw from; those without a segmentation are passed over.
        tumour_fraction: share of samples that are drawn from slices with tumour (0 draws from all brain slices alike,
            as published).
        min_brain_fraction: slices with a smaller share of brain pixels are not drawn.
        several: whether samples hold several sources, each in its channel, the absent ones background; else one.
        transform: changes samples, dictionaries of `BatchKey` with `BRAIN` beside, which is left out at the end; its
            random transforms draw from the sample's own stream, one after the other. A spatial one lists every key of
            an image or mask.
        seed: seed of all draws.

    Attributes:
        pair_patients: whose true targets the samples hold: nobody's.

    Raises:
        CohortError: when no slice is left to draw.
    """

    def __init__(
        self,
        store: SliceStore,
        cases: Sequence[SlicedCase],
        *,
        tumour_fraction: float = 0.0,
        min_brain_fraction: float = 0.02,
        several: bool = False,
        transform: Compose | None = None,
        seed: int = 0,
    ) -> None:
        self.store = store
        self.cases = [case for case in cases if case.tumour_pixels is not None]
        self.tumour_fraction = tumour_fraction
        self.several = several
        self._by_name = {case.case_id: case for case in self.cases}
        self.transform = transform
        self.seed = seed
        self.pair_patients: frozenset[str] = frozenset()
        self._random = [one for one in _steps(transform) if isinstance(one, Randomizable)]
        self._min_pixels = min_brain_fraction * store.preprocessing.image_size[0] * store.preprocessing.image_size[1]
        every = store.preprocessing.modalities
        self._brain = {modality: self._slices_of(modality, tumour=False) for modality in every}
        self._tumour = {modality: self._slices_of(modality, tumour=True) for modality in every}
        self.modalities = tuple(modality for modality in every if len(self._brain[modality]))
        if not self.modalities:
            reason = "there is no brain slice with a segmentation to train on"
            raise CohortError.of(Path(), reason, "add cases with segmentations")

    def __len__(self) -> int:
        """Return the number of different images; the index of a sample has no upper bound."""
        return sum(len(slices) for slices in self._brain.values())

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Draw sample `index` (any non-negative integer) as a dictionary of `BatchKey` entries.

        The image is `(1, H, W)`, of several sources `(M, H, W)`, float32 in [-1, 1] with background exactly -1; mask
        and labels are `(1, H, W)`.
        """
        draw = np.random.default_rng((self.seed, index))
        sample = self._drawn(draw)
        if self.several:
            sample[BatchKey.IMAGE] = self._sources(sample, draw)
        if self.transform is not None:
            sample = self._transformed(sample, self.transform, draw)
        return sample | {BatchKey.BETWEEN: torch.from_numpy(draw.random(2, np.float32))}

    def _drawn(self, draw: np.random.Generator) -> dict[str, Any]:
        """Draw an image, a target modality and what belongs to them, before any transform."""
        source = self.modalities[draw.integers(len(self.modalities))]
        target = self.modalities[draw.integers(len(self.modalities))]
        slices = self._brain[source]
        if draw.random() < self.tumour_fraction and len(self._tumour[source]):
            slices = self._tumour[source]
        place, slice_index = slices[draw.integers(len(slices))]
        case_id = self.cases[place].case_id
        image = torch.from_numpy(self.store.image(case_id, source)[slice_index].astype(np.float32))[None]
        labels = torch.from_numpy(self.store.labels(case_id)[slice_index].astype(np.int64))[None]
        return {
            BatchKey.IMAGE: image,
            BatchKey.TUMOUR_MASK: (labels > 0).to(image),
            BatchKey.TUMOUR_LABELS: labels,
            BatchKey.SOURCE_MODALITY: self.store.preprocessing.modalities.channel(source),
            BatchKey.TARGET_MODALITY: self.store.preprocessing.modalities.channel(target),
            BatchKey.CASE_ID: case_id,
            BatchKey.SLICE_INDEX: int(slice_index),
            BatchKey.MIRRORED: False,
        }

    def _sources(self, sample: dict[str, Any], draw: np.random.Generator) -> torch.Tensor:
        """Return `(M, H, W)`: the source, and each further modality of the patient but the target by chance."""
        image, modalities = sample[BatchKey.IMAGE], self.store.preprocessing.modalities
        source, target = sample[BatchKey.SOURCE_MODALITY], sample[BatchKey.TARGET_MODALITY]
        stacked = torch.full((len(modalities), *image.shape[1:]), BACKGROUND)
        stacked[source] = image[0]
        if source == target:
            return stacked
        for modality in self._by_name[sample[BatchKey.CASE_ID]].modalities:
            channel = modalities.channel(modality)
            if channel not in (source, target) and draw.random() < _FURTHER_SOURCE:
                stacked[channel] = self._slice(sample, modality)[0]
        return stacked

    def _slice(self, sample: dict[str, Any], modality: Modality) -> torch.Tensor:
        pixels = self.store.image(sample[BatchKey.CASE_ID], modality)[sample[BatchKey.SLICE_INDEX]]
        return torch.from_numpy(pixels.astype(np.float32))[None]

    def _transformed(self, sample: dict[str, Any], transform: Compose, draw: np.random.Generator) -> dict[str, Any]:
        """Run the transform; what is random in it goes on in the sample's own stream of draws."""
        stream = np.random.RandomState(draw.bit_generator)
        for one in self._random:
            one.set_random_state(state=stream)
        brain = sample[BatchKey.IMAGE] > BACKGROUND
        changed = run_transforms(transform, sample | {BatchKey.BRAIN: brain})
        operations = getattr(changed[BatchKey.IMAGE], "applied_operations", [])
        flips = [op for op in operations if op[TraceKeys.CLASS_NAME] == _FLIP and op[TraceKeys.DO_TRANSFORM]]
        del changed[BatchKey.BRAIN]
        return {str(key): plain(value) for key, value in changed.items()} | {BatchKey.MIRRORED: len(flips) % 2 == 1}

    def identity(self) -> dict[str, Any]:
        """Return what decides the samples, as plain data (`utad_monai.handlers.resume.state`)."""
        others = [described(one) for one in self._random if type(one).__name__ != _FLIP]
        cases = [(case.case_id, sorted(case.windows), case.brain_pixels, case.tumour_pixels) for case in self.cases]
        return {
            "seed": self.seed,
            "tumour_fraction": self.tumour_fraction,
            "smallest brain in pixels": self._min_pixels,
            "flip": any(type(one).__name__ == _FLIP for one in self._random),
            "several sources": self.several,
            "training cases": len(self.cases),
            "training slices (hash)": digest(cases),
        } | ({"random transforms": others} if others else {})

    def _slices_of(self, modality: Modality, tumour: bool) -> _Index:
        """Return `(N, 2)` pairs of case place and slice index of one modality."""
        pairs = []
        for place, case in enumerate(self.cases):
            if modality in case.windows and case.tumour_pixels is not None:
                wanted = np.array(case.brain_pixels) >= max(1.0, self._min_pixels)
                if tumour:
                    wanted &= np.array(case.tumour_pixels) > 0
                slices = np.flatnonzero(wanted).astype(np.int32)
                pairs.append(np.stack([np.full_like(slices, place), slices], axis=1))
        return np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int32)


def _steps(transform: Compose | None) -> list[Any]:
    return [] if transform is None else list(transform.flatten().transforms)


def described(transform: Any) -> dict[str, Any]:
    """Return a transform's name and all of its plain attributes, also those of the transforms inside it."""
    plain_kinds = (str, int, float, bool, tuple, list)
    inside = {name: value for name, value in vars(transform).items() if not name.startswith("_") and name != "R"}
    return {"transform": type(transform).__name__} | {
        name: described(value) if isinstance(value, Transform) else list(value) if isinstance(value, tuple) else value
        for name, value in inside.items()
        if isinstance(value, (*plain_kinds, Transform))
    }


def plain(value: Any) -> Any:
    """Return a tensor without MONAI's meta data, which batches do not need; anything else as it is."""
    return value.as_tensor() if isinstance(value, MetaTensor) else value


class EpochSampler(Sampler[int]):
    """Hand out sample numbers, going on where the last epoch stopped; several processes share an epoch evenly.

    Args:
        dataset: the data set that the numbers are for.
        samples_per_epoch: how many numbers each epoch has; 0 for as many as there are different images.
    """

    def __init__(self, dataset: UnpairedSlices, samples_per_epoch: int = 0) -> None:
        self.samples_per_epoch = samples_per_epoch or len(dataset)
        self.epoch = 0
        self._drawn = 0

    def __len__(self) -> int:
        """Return the number of samples of one epoch that this process draws."""
        return self.samples_per_epoch // world_size()

    def go_to(self, epoch: int, drawn: int) -> None:
        """Begin the next round within an epoch (from 0 on), after so many numbers that this process drew already."""
        self.epoch, self._drawn = epoch, drawn

    def __iter__(self) -> Iterator[int]:
        """Yield this process's numbers of the next epoch."""
        first = self.epoch * self.samples_per_epoch
        begin = first + self._drawn * world_size()
        self.epoch, self._drawn = self.epoch + 1, 0
        yield from range(begin + rank(), first + len(self) * world_size(), world_size())


class ShuffledSampler(Sampler[int]):
    """Hand out a data set in random order; of several processes each gets as many, and none the same sample.

    Alone it draws what torch's `RandomSampler` draws. The last samples that cannot be shared evenly wait for another
    epoch.

    Args:
        dataset: the data set that the numbers are for.
    """

    def __init__(self, dataset: Sized) -> None:
        self._samples = len(dataset)

    def __len__(self) -> int:
        """Return the number of samples of one epoch that this process draws."""
        return self._samples // world_size()

    def __iter__(self) -> Iterator[int]:
        """Yield this process's samples of the next epoch."""
        seed = from_every_process(int(torch.empty((), dtype=torch.int64).random_().item()))[0]
        order = RandomSampler(range(self._samples), generator=torch.Generator().manual_seed(seed))
        yield from islice(order, rank(), len(self) * world_size(), world_size())
