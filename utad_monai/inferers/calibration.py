"""Calibration by histograms: what a model paints gets the intensities of a cohort, without pairs and without training.

A network that a phantom taught paints the phantom's intensities. Per target modality one monotone map joins the two
worlds: the distribution that the model paints (stored with it) becomes the cohort's (docs/complete.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utad_monai.data.intensity_histogram import (
    BINS,
    EDGES,
    IntensityHistogram,
    PatientHistograms,
    histogram_of_shares,
    mean_over_patients,
    patient_histograms,
)
from utad_monai.data.slice_store import SlicedCase, SliceStore
from utad_monai.keys import Modality, ModalitySet
from utad_monai.networks.output_maps import map_intensities

_LEAST_SLOPE = 1e-6
"""Added to both distributions: where one has no pixels, its map still rises and stays defined."""
_DIGITS = 6
STRAIGHT_ABOVE = 0.8
"""Share of the healthy brain that the model paints above which a map is a straight line to the brightest: measured on
real cases, where tumours lost contrast to maps that followed the few bright pixels of healthy brain."""
_Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class IntensityMap:
    """A monotone map of normalised intensities.

    Attributes:
        knots: `BINS + 1` values in [0, 1], of equally spaced intensities on [0, 1]; linear in between.
        patients: number of patients whose images it leads to.
        typical: whether these are those of the package's own average (`typical_histograms`), not of the cohort.

    Raises:
        ValueError: when it is no such map.
    """

    knots: tuple[float, ...]
    patients: int
    _: KW_ONLY
    typical: bool = False

    def __post_init__(self) -> None:
        rising = all(0 <= before <= after <= 1 for before, after in zip(self.knots, self.knots[1:], strict=False))
        if len(self.knots) != BINS + 1 or not rising:
            raise ValueError(f"an intensity map needs {BINS + 1} knots that rise within [0, 1]")

    def __call__(self, slices: Tensor) -> Tensor:
        """Map `(Z, H, W)` in [-1, 1]; background stays exactly -1 and brain stays brain."""
        return map_intensities(slices[None], torch.tensor([self.knots], dtype=torch.float32))[0]


@dataclass(frozen=True)
class Calibration:
    """The maps of a cohort; a modality that no image of it shows has none, and keeps the model's intensities.

    Attributes:
        maps: by target modality.
    """

    maps: Mapping[Modality, IntensityMap] = field(default_factory=dict)

    def __call__(self, slices: Tensor, target: Modality) -> Tensor:
        """Return translated `(Z, H, W)` slices of a target, in [-1, 1], with the cohort's intensities."""
        return self.maps[target](slices) if target in self.maps else slices

    def knots(self, modalities: ModalitySet) -> Tensor:
        """Return `(M, BINS + 1)` knots of the modalities' maps, those that change nothing where there is none."""
        same = tuple(map(float, EDGES))
        return torch.tensor([self.maps[m].knots if m in self.maps else same for m in modalities])

    def as_data(self) -> dict[str, Any]:
        """Return everything as plain data for a file."""
        return {
            str(m): {"patients": chosen.patients, "knots": list(chosen.knots)} | _origin(chosen)
            for m, chosen in self.maps.items()
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Calibration:
        """Rebuild a calibration from the plain data of a file.

        Raises:
            KeyError, TypeError, ValueError: when the data has another form.
        """
        return cls(
            {
                Modality.named(modality): IntensityMap(
                    tuple(map(float, content["knots"])),
                    int(content["patients"]),
                    typical=bool(content.get("typical", False)),
                )
                for modality, content in data.items()
            }
        )

    def summary(self, target: Modality) -> dict[str, Any] | None:
        """Return what a sidecar says of a target's map: patients and digest; None where there is no map."""
        if target not in self.maps:
            return None
        knots = json.dumps(list(self.maps[target].knots))
        chosen = self.maps[target]
        return {"patients": chosen.patients, "sha256": hashlib.sha256(knots.encode()).hexdigest()} | _origin(chosen)


def _origin(chosen: IntensityMap) -> dict[str, bool]:
    return {"typical": True} if chosen.typical else {}


def fit_calibration(
    painted: Mapping[Modality, Sequence[float]],
    cohort: Mapping[Modality, IntensityHistogram],
    *,
    typical: bool = False,
) -> Calibration:
    """Return the maps from what a model paints to what a cohort shows, for the modalities that both have.

    Args:
        painted: `Translator.reference_histograms`: 256 shares of what the model paints, of each target.
        cohort: the mean distribution of the cohort's patients, brain without tumour.
        typical: whether it is the package's own average.
    """
    return Calibration(
        {
            modality: IntensityMap(
                _knots(histogram_of_shares(painted[modality]), cohort[modality]),
                cohort[modality].patients,
                typical=typical,
            )
            for modality in cohort
            if modality in painted
        }
    )


def fit_store_calibration(
    painted: Mapping[Modality, Sequence[float]],
    store: SliceStore,
    cases: Sequence[SlicedCase],
    without: Collection[str] = (),
) -> Calibration:
    """Fit a calibration on prepared cases.

    Args:
        painted: `Translator.reference_histograms`.
        store: prepared slices.
        cases: the cohort.
        without: patients that are left out.
    """
    return fit_calibration(painted, mean_over_patients(patient_histograms(store, cases), without))


def calibrations_without_each(
    painted: Mapping[Modality, Sequence[float]], histograms: PatientHistograms
) -> dict[str, Calibration]:
    """Return for each patient the calibration on all others: what a patient is judged with did not see it.

    Args:
        painted: `Translator.reference_histograms`.
        histograms: `patient_histograms` of the cohort.
    """
    patients = sorted({patient for of in histograms.values() for patient in of})
    return {patient: fit_calibration(painted, mean_over_patients(histograms, [patient])) for patient in patients}


class CohortCalibrator:
    """Calibrate models on the cases of a cohort, without the patients that are judged.

    The cases are read once, when the first model asks.

    Args:
        store: prepared slices.
        cases: the cohort: training cases.
        judged: cases of the patients that are left out.
    """

    def __init__(self, store: SliceStore, cases: Sequence[SlicedCase], *, judged: Sequence[SlicedCase] = ()) -> None:
        self.store = store
        left_out = {case.patient_id for case in judged}
        self.cases = [case for case in cases if case.patient_id not in left_out]

    @cached_property
    def histograms(self) -> Mapping[Modality, IntensityHistogram]:
        """The mean distribution of each modality that the cases have."""
        return mean_over_patients(patient_histograms(self.store, self.cases))

    def fit(self, painted: Mapping[Modality, Sequence[float]]) -> Calibration:
        """Return the calibration of a model by its `reference_histograms`; one without maps where it has none."""
        return fit_calibration(painted, self.histograms) if painted else Calibration()


def _knots(painted: IntensityHistogram, cohort: IntensityHistogram) -> tuple[float, ...]:
    share = _rising(painted)
    mapped = _straight_where_bright(np.interp(share, _rising(cohort), EDGES), share)
    return tuple(round(float(value), _DIGITS) for value in mapped)


def _straight_where_bright(mapped: _Floats, share: _Floats) -> _Floats:
    """Return a map whose end is a straight line: what is brighter than most of the healthy brain may be a tumour."""
    start = int(np.searchsorted(share, STRAIGHT_ABOVE))
    if start == BINS:
        return mapped
    beyond = (EDGES[start:] - EDGES[start]) / (1 - EDGES[start])
    return np.concatenate([mapped[:start], mapped[start] + (1 - mapped[start]) * beyond])


def _rising(histogram: IntensityHistogram) -> _Floats:
    """Return the cumulative shares at the bins' edges, made strictly rising."""
    shares = np.array([0.0, *histogram.cdf])
    return (shares + _LEAST_SLOPE * EDGES) / (1 + _LEAST_SLOPE)
