"""Training samples of a cohort in which some patients have the target: sources and true target of one slice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.transforms import Compose

from utad_monai.data.slice_store import SlicedCase, SliceStore
from utad_monai.data.unpaired import UnpairedSlices
from utad_monai.keys import BatchKey, Pairs
from utad_monai.runtime.console import counted

_logger = logging.getLogger(__name__)


def training_slices(
    store: SliceStore,
    cases: Sequence[SlicedCase],
    *,
    pairs: Pairs | str = Pairs.NEVER,
    pair_patients: int = 0,
    **options: Any,
) -> UnpairedSlices:
    """Return the samples that a teacher is trained on.

    Args:
        store: prepared slices.
        cases: training cases.
        pairs: whether a patient's true target is looked at.
        pair_patients: of `PairedSlices`.
        options: of `UnpairedSlices`.
    """
    if Pairs(pairs) is Pairs.NEVER:
        return UnpairedSlices(store, cases, **options)
    return PairedSlices(store, cases, pair_patients=pair_patients, **options)


class PairedSlices(UnpairedSlices):
    """Slices for training with pairs where there are: **looks at the paired targets of training patients**.

    A sample is what `UnpairedSlices` draws. Of a patient with other modalities its target is one of them, and
    `TARGET_IMAGE` holds it; `PAIRED` says so. Sample `i` depends on `(seed, i)` alone.

    Args:
        store: prepared slices.
        cases: cases to draw from; those without a segmentation are passed over.
        pair_patients: of how many patients the pairs count, drawn by the seed; of all when 0.
        tumour_fraction: of `UnpairedSlices`.
        min_brain_fraction: of `UnpairedSlices`.
        several: of `UnpairedSlices`.
        transform: of `UnpairedSlices`; a spatial one lists `TARGET_IMAGE`, too.
        seed: seed of all draws.

    Attributes:
        pair_patients: whose true targets the samples hold.

    Raises:
        CohortError: when no slice is left to draw.
    """

    def __init__(
        self,
        store: SliceStore,
        cases: Sequence[SlicedCase],
        *,
        pair_patients: int = 0,
        tumour_fraction: float = 0.0,
        min_brain_fraction: float = 0.02,
        several: bool = False,
        transform: Compose | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            store,
            cases,
            tumour_fraction=tumour_fraction,
            min_brain_fraction=min_brain_fraction,
            several=several,
            transform=transform,
            seed=seed,
        )
        having = sorted({case.patient_id for case in self.cases if len(case.modalities) > 1})
        order = np.random.default_rng(seed).permutation(len(having))[: pair_patients or None]
        self.pair_patients = frozenset(having[place] for place in order)
        patients = counted(len(self._patients()), "patient")
        _logger.info("training with pairs of %d of %s", len(self.pair_patients), patients)
        self._pairs = {case.case_id: case for case in self.cases if case.patient_id in self.pair_patients}

    def identity(self) -> dict[str, Any]:
        """Return what decides the samples, as plain data."""
        return super().identity() | {"pairs": sorted(self.pair_patients)}

    def _drawn(self, draw: np.random.Generator) -> dict[str, Any]:
        sample = super()._drawn(draw)
        case = self._pairs.get(sample[BatchKey.CASE_ID])
        channel = self.store.preprocessing.modalities.channel
        others = [one for one in case.modalities if channel(one) != sample[BatchKey.SOURCE_MODALITY]] if case else []
        if not others:
            return sample | {BatchKey.TARGET_IMAGE: sample[BatchKey.IMAGE].clone(), BatchKey.PAIRED: False}
        target = others[draw.integers(len(others))]
        true_target = {BatchKey.TARGET_IMAGE: self._slice(sample, target), BatchKey.PAIRED: True}
        return sample | {BatchKey.TARGET_MODALITY: channel(target)} | true_target

    def _patients(self) -> set[str]:
        return {case.patient_id for case in self.cases}
