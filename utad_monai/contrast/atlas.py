"""The mean brain of a cohort: what each modality shows, on average over patients, at each place of the brain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import NDArray

from utad_monai.data.slice_store import SlicedCase, SliceStore
from utad_monai.keys import FOUR_MODALITIES, Modality, ModalitySet

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
POSITIONS = 24
"""Positions along the brain, from its first to its last slice; fewer where a brain has fewer slices."""
INSIDE = 0.8
"""A place is inside the brain when so many of the slices that were averaged there show brain: at its edge, brains do
not lie on each other, and every modality is dark."""


@dataclass(frozen=True)
class CaseIntensities:
    """One image of a case for atlases and maps.

    Attributes:
        image: `(Z, H, W)` float32, [0, 1]; the slices of the brain.
        counted: `(Z, H, W)`, brain outside the tumour.
        position: `(Z,)` position of each slice along the brain.
    """

    image: Floats
    counted: Flags
    _: KW_ONLY
    position: NDArray[np.intp]


class CohortAtlas:
    """Running sums of the intensities at each place: memory does not grow with the cohort.

    Args:
        positions: positions along the brain.
        image_size: pixels of a slice, H and W.
        modalities: which there are.
    """

    def __init__(
        self, positions: int, image_size: tuple[int, int], *, modalities: ModalitySet = FOUR_MODALITIES
    ) -> None:
        self.modalities = modalities
        shape = (len(modalities), positions, *image_size)
        self.positions = positions
        self.sums = np.zeros(shape, np.float32)
        self.counts = np.zeros(shape, np.float32)
        self.slices = np.zeros(shape[:2], np.float32)

    def add(self, store: SliceStore, case: SlicedCase) -> None:
        """Count one case in."""
        for modality in case.modalities:
            self._add(self.modalities.channel(modality), case_intensities(store, case, modality, self.positions))

    def _add(self, channel: int, case: CaseIntensities) -> None:
        for position in np.unique(case.position):
            here = case.position == position
            self.sums[channel, position] += np.where(case.counted[here], case.image[here], 0).sum(axis=0)
            self.counts[channel, position] += case.counted[here].sum(axis=0)
            self.slices[channel, position] += here.sum()

    def without(self, other: CohortAtlas) -> CohortAtlas:
        """Return the atlas without the cases of another one, which are among its own."""
        left = CohortAtlas(self.positions, (self.sums.shape[2], self.sums.shape[3]), modalities=self.modalities)
        left.sums, left.counts = self.sums - other.sums, self.counts - other.counts
        left.slices = self.slices - other.slices
        return left

    def mean(self, modality: Modality) -> Floats:
        """Return the mean image `(positions, H, W)` of a modality in [0, 1]; 0 where there is none."""
        channel = self.modalities.channel(modality)
        mean: Floats = self.sums[channel] / np.maximum(self.counts[channel], 1)
        return mean

    def inside(self, modality: Modality) -> Flags:
        """Return the places `(positions, H, W)` at which nearly all slices show brain (`INSIDE`)."""
        channel = self.modalities.channel(modality)
        wanted = np.maximum(INSIDE * self.slices[channel], 0.5)
        inside: Flags = self.counts[channel] > wanted[:, None, None]
        return inside


def cohort_atlas(store: SliceStore, cases: Sequence[SlicedCase], positions: int) -> CohortAtlas:
    """Return the atlas of some cases, which are read one at a time."""
    atlas = CohortAtlas(positions, store.preprocessing.image_size, modalities=store.preprocessing.modalities)
    for case in cases:
        atlas.add(store, case)
    return atlas


def brain_positions(cases: Sequence[SlicedCase]) -> int:
    """Return how many positions every brain of the cases has at least one slice for, at most `POSITIONS`."""
    return max(1, min([POSITIONS, *(_extent(case)[1] - _extent(case)[0] for case in cases)]))


def by_patient(cases: Sequence[SlicedCase]) -> Iterator[list[SlicedCase]]:
    """Yield the cases of each patient together."""
    for patient in dict.fromkeys(case.patient_id for case in cases):
        yield [case for case in cases if case.patient_id == patient]


def case_intensities(store: SliceStore, case: SlicedCase, modality: Modality, positions: int) -> CaseIntensities:
    """Read the brain slices of one image of a case; a case without segmentation counts as one without tumour.

    Raises:
        KeyError: when the case lacks the modality.
    """
    first, end = _extent(case)
    image = (store.image(case.case_id, modality)[first:end].astype(np.float32) + 1) / 2
    counted = image > 0
    if case.tumour_pixels is not None:
        counted &= store.labels(case.case_id)[first:end] == 0
    return CaseIntensities(image, counted, position=np.arange(end - first) * positions // max(1, end - first))


def _extent(case: SlicedCase) -> tuple[int, int]:
    """Return the first slice with brain and the one after the last."""
    shown = np.flatnonzero(np.asarray(case.brain_pixels))
    return (int(shown[0]), int(shown[-1]) + 1) if len(shown) else (0, 0)
