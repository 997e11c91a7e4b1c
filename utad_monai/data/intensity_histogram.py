"""How the brain intensities of images are distributed: what a calibration is made of."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utad_monai.data.slice_store import SlicedCase, SliceStore
from utad_monai.keys import Modality
from utad_monai.transforms import BACKGROUND

BINS = 256
"""Bins of a histogram, of equal width on [0, 1]."""
EDGES = np.linspace(0, 1, BINS + 1)
"""The intensities between which they lie."""
_DIGITS = 6
"""Decimals that are kept: sums of another order or machine differ in later ones."""
_LEVELS = np.linspace(0, 1, 8 * BINS + 1)
"""Shares of the brain whose intensities (quantiles) are averaged."""
_LEAST_SLOPE = 1e-9
"""Added where a distribution is flat, so that each share has one intensity."""

_TYPICAL_FILE = Path(__file__).with_name("typical_intensities.json")

PatientHistograms = Mapping[Modality, Mapping[str, "IntensityHistogram"]]
"""For each modality the histogram of each patient that has it."""


@dataclass(frozen=True)
class IntensityHistogram:
    """The cumulative distribution of normalised brain intensities on [0, 1], 0 for the darkest brain.

    Attributes:
        cdf: share of brain pixels up to the upper edge of each of `BINS` bins; does not fall, ends with 1.
        patients: number of patients that it is the mean of.

    Raises:
        ValueError: when it is no such distribution.
    """

    cdf: tuple[float, ...]
    patients: int = 1

    def __post_init__(self) -> None:
        if len(self.cdf) != BINS or not all(math.isfinite(share) for share in self.cdf):
            raise ValueError(f"an intensity histogram needs {BINS} finite shares, got {len(self.cdf)}")
        if self.cdf[0] < 0 or self.cdf[-1] != 1 or any(after < before for before, after in pairwise(self.cdf)):
            raise ValueError("the shares of an intensity histogram must rise from 0 to 1")

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of brain pixels in each bin, as models store it; sum 1."""
        return tuple(after - before for before, after in pairwise((0.0, *self.cdf)))


def histogram_of_shares(shares: Sequence[float]) -> IntensityHistogram:
    """Return the cumulative form of a histogram of `BINS` shares of at least 0, as models store theirs.

    Raises:
        ValueError: when they are not as many, or all 0.
    """
    total = math.fsum(shares)
    if not total > 0 or min(shares) < 0:
        raise ValueError("the shares of an intensity histogram must be at least 0, and not all 0")
    cumulated = np.minimum(np.round(np.cumsum(np.asarray(shares) / total), _DIGITS), 1.0)
    return IntensityHistogram((*map(float, cumulated[:-1]), 1.0))


def brain_histogram(image: Tensor, tumour: Tensor | None = None) -> IntensityHistogram:
    """Describe the brain of one image outside its tumour.

    Args:
        image: any shape, in [-1, 1], background exactly -1.
        tumour: the same shape, not 0 inside the tumour; None without a segmentation.

    Raises:
        ValueError: when there is no brain outside the tumour.
    """
    chosen = image > BACKGROUND
    if tumour is not None:
        chosen = chosen & (tumour == 0)
    unit = (image[chosen].to(torch.float32) + 1) / 2
    if unit.numel() == 0:
        raise ValueError("has no brain outside its tumour")
    bins = (unit * BINS).to(torch.int64).clamp_(0, BINS - 1)
    cumulated = torch.bincount(bins, minlength=BINS).cumsum(0).to(torch.float64) / unit.numel()
    return IntensityHistogram(tuple(round(share, _DIGITS) for share in cumulated.tolist()))


class MeanHistogram:
    """The mean of distributions, added one by one: memory does not grow with their number.

    Quantiles are averaged, not shares: the mean of patients whose scanners differ is then as narrow as each of them
    (the barycentre of Agueh and Carlier 2011), where a mean of shares would be as wide as all of them together.
    """

    def __init__(self) -> None:
        self._sum = np.zeros(len(_LEVELS))
        self._weight = 0.0

    def add(self, histogram: IntensityHistogram, weight: float = 1.0) -> None:
        """Add one; `weight` is the share of its patient that it stands for."""
        rising = np.array([0.0, *histogram.cdf]) + _LEAST_SLOPE * EDGES
        self._sum += weight * np.interp(_LEVELS, rising / rising[-1], EDGES)
        self._weight += weight

    def mean(self) -> IntensityHistogram | None:
        """Return the mean, or None when nothing was added."""
        if self._weight == 0:
            return None
        quantiles = self._sum / self._weight + _LEAST_SLOPE * _LEVELS
        shares = np.round(np.interp(EDGES[1:], quantiles / quantiles[-1], _LEVELS), _DIGITS)
        return IntensityHistogram((*map(float, shares[:-1]), 1.0), max(1, round(self._weight)))


def mean_histogram(histograms: Iterable[IntensityHistogram]) -> IntensityHistogram:
    """Return the mean of histograms, each counting the same.

    Raises:
        ValueError: when there is none.
    """
    running = MeanHistogram()
    for histogram in histograms:
        running.add(histogram)
    mean = running.mean()
    if mean is None:
        raise ValueError("there is no histogram to take a mean of")
    return mean


def patient_histograms(store: SliceStore, cases: Sequence[SlicedCase]) -> PatientHistograms:
    """Describe prepared cases: for each modality one histogram per patient, the mean of the patient's images.

    Args:
        store: prepared slices.
        cases: the cases to describe; tumours are left out where there is a segmentation.
    """
    found: dict[Modality, dict[str, list[IntensityHistogram]]] = {}
    for case in cases:
        tumour = None if case.tumour_pixels is None else torch.from_numpy(store.labels(case.case_id) > 0)
        for modality in case.modalities:
            image = torch.from_numpy(np.array(store.image(case.case_id, modality)))
            if bool((image > BACKGROUND).any()):
                found.setdefault(modality, {}).setdefault(case.patient_id, []).append(brain_histogram(image, tumour))
    return {
        modality: {patient: _alone(mean_histogram(images)) for patient, images in found[modality].items()}
        for modality in store.preprocessing.modalities
        if modality in found
    }


def _alone(histogram: IntensityHistogram) -> IntensityHistogram:
    return IntensityHistogram(histogram.cdf)


def mean_over_patients(
    histograms: PatientHistograms, without: Collection[str] = ()
) -> dict[Modality, IntensityHistogram]:
    """Return the mean over patients of each modality that any of them has.

    Args:
        histograms: of each patient.
        without: patients that are left out, such as the one that is judged.
    """
    kept = {
        modality: [histogram for patient, histogram in of.items() if patient not in without]
        for modality, of in histograms.items()
    }
    return {modality: mean_histogram(chosen) for modality, chosen in kept.items() if chosen}


@cache
def typical_histograms() -> Mapping[Modality, IntensityHistogram]:
    """Return the distributions that come with the package: means over 16 patients, none of whom can be told from them.

    They stand for a modality that nobody else shows, such as those that a single patient lacks
    (`benchmarks/typical.py`).
    """
    content = json.loads(_TYPICAL_FILE.read_text(encoding="ascii"))
    return {
        Modality(name): IntensityHistogram(tuple(entry["cdf"]), entry["patients"]) for name, entry in content.items()
    }
