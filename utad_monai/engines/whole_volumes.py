"""Translations as volumes on the patient's own grid, measured by the protocols of others; and the table of them all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from itertools import product
from typing import Any

import pandas
from torch import Tensor

from utad_monai.data import PreparedCohort
from utad_monai.data.case_volumes import load_volumes
from utad_monai.data.preprocessing import LoadedCase, normalise_case
from utad_monai.engines.measurements import SEPARATOR, Measurement, Measurements, long_table
from utad_monai.engines.method_on_case import MethodOnCase
from utad_monai.keys import EvaluationProtocol, ImageSource, Modality, TumourRegion
from utad_monai.metrics.measures import BRAIN, VOLUME_MEASURES, column, measured
from utad_monai.metrics.protocols import PROTOCOL_IN_WORDS, WholeVolume
from utad_monai.metrics.statistics import Estimate, estimate
from utad_monai.transforms import BACKGROUND, IntensityWindow

_NO_METHODS = (ImageSource.REAL, ImageSource.ZERO_FILL)
"""What tells nothing by these protocols: the truth, and nothing."""
_UNIT = IntensityWindow(0.0, 1.0)
OTHERS_MEASURES = frozenset(measure.name for measures in VOLUME_MEASURES.values() for measure in measures)
"""Names that only the protocols of others measure."""
_OURS = tuple((region, measure) for region in (BRAIN, str(TumourRegion.WT)) for measure in ("ssim", "mae"))
"""Region and measure of our own table."""


def chosen_protocols(names: str | Sequence[str]) -> tuple[EvaluationProtocol, ...]:
    """Return the protocols of one or several names, each once.

    Raises:
        ValueError: for an unknown name.
    """
    return tuple(dict.fromkeys(map(EvaluationProtocol, [names] if isinstance(names, str) else names)))


@dataclass(frozen=True)
class _Patient:
    """A case as its files have it: normalised, and `(X, Y, Z)` in file units."""

    loaded: LoadedCase
    _: KW_ONLY
    volumes: Mapping[Modality, Tensor]
    first_slice: int


class WholeVolumes:
    """Every source to every target as a volume, written the way `complete` writes one.

    Slices that were translated already are put back onto the patient's grid and get the cohort's intensities; a copy is
    the source's own volume. Measured by the protocols of others (`utad_monai.metrics.protocols`).

    Args:
        protocols: whose; nothing is measured for ours, which looks at slices.
        cohort: the cases that are evaluated, with their files.
        windows: typical intensities of each modality in the training cohort, in file units; [0, 1] of one without.
    """

    def __init__(
        self,
        protocols: str | Sequence[str],
        *,
        cohort: PreparedCohort,
        windows: Mapping[Modality, IntensityWindow],
    ) -> None:
        self.protocols = chosen_protocols(protocols)
        self.measures = [measure for protocol in self.protocols for measure in VOLUME_MEASURES[protocol]]
        self.store, self.windows = cohort.store, windows
        self._cases = cohort.found
        self._last: tuple[str, _Patient] | None = None

    @property
    def in_words(self) -> dict[str, str]:
        """What the numbers of each protocol mean."""
        return {str(protocol): PROTOCOL_IN_WORDS[protocol] for protocol in self.protocols if VOLUME_MEASURES[protocol]}

    def __call__(self, subject: MethodOnCase, found: Measurements) -> None:
        """Measure one method on one case."""
        if not self.measures or subject.method.name in _NO_METHODS:
            return
        patient = self._patient(subject.case.name)
        for source, target in product(subject.case.images, repeat=2):
            own = source == target
            measures = VOLUME_MEASURES[EvaluationProtocol.UTAD128] if own else self.measures
            if own and EvaluationProtocol.UTAD128 not in self.protocols:
                continue
            volume = self._volume(subject, patient, source, target)
            found.rows += subject.rows((source,), (target,), measured(measures, volume))

    def _volume(self, subject: MethodOnCase, patient: _Patient, source: Modality, target: Modality) -> WholeVolume:
        real_window = patient.loaded.windows[target]
        copied = subject.method.name == ImageSource.COPY_SOURCE or (source == target and subject.method.several)
        if copied:
            made, made_window = patient.volumes[source], patient.loaded.windows[source]
        else:
            made_window = self.windows.get(target, _UNIT)
            made = made_window.denormalise(self._on_grid(subject.make((source,), target), patient, source))
        regions = patient.loaded.regions
        assert regions is not None, "evaluated cases have a segmentation"
        return WholeVolume(
            made.clamp_min(0),
            patient.volumes[target],
            tumour=regions[0] > 0,
            made_window=made_window,
            real_window=real_window,
        )

    def _on_grid(self, slices: Tensor, patient: _Patient, source: Modality) -> Tensor:
        """Bring `(Z, H, W)` slices, of the part of the patient that shows brain, onto the grid: `(X, Y, Z)`."""
        brain = patient.loaded.images[source].as_tensor()[0] > BACKGROUND
        every = slices.new_full((brain.shape[2], *slices.shape[1:]), BACKGROUND)
        every[patient.first_slice : patient.first_slice + len(slices)] = slices
        return self.store.preprocessing.frame.slices_to_image(every, patient.loaded.placement, brain)

    def _patient(self, name: str) -> _Patient:
        """Return a case from its files; the last one is kept, because every method is asked about it."""
        if self._last is None or self._last[0] != name:
            case = self._cases[name]
            volumes, problems = load_volumes(case)
            files = {modality: volumes[modality].as_tensor()[0].clone() for modality in case.images}
            loaded = normalise_case(case, volumes, problems, self.store.preprocessing)
            self._last = name, _Patient(loaded, volumes=files, first_slice=self.store.cases[name].first_slice)
        return self._last[1]


MethodMeans = dict[str, dict[str, Estimate]]
"""By method and column (`utad_monai.metrics.measures.column`)."""


def means_by_protocol(rows: Iterable[Measurement], protocols: Iterable[EvaluationProtocol]) -> dict[str, MethodMeans]:
    """Return the table of each protocol: one value per case, the mean over sources and targets.

    Args:
        rows: of the long table; what was made from several sources, the real images and empty ones are passed over.
        protocols: of which tables are wanted.
    """
    table = long_table(row for row in rows if SEPARATOR not in row.source and row.method not in _NO_METHODS)
    return {str(protocol): _means(table, _columns(protocol, table)) for protocol in protocols}


def means_as_data(means: Mapping[str, MethodMeans]) -> dict[str, Any]:
    """Return tables as plain data: `mean`, `low`, `high` and `cases` by protocol, method and column; NaN is None."""
    return {
        protocol: {
            method: {column: _plain(estimate) for column, estimate in columns.items()}
            for method, columns in methods.items()
        }
        for protocol, methods in means.items()
    }


def _plain(of_cases: Estimate) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in asdict(of_cases).items()}


def _columns(protocol: EvaluationProtocol, table: pandas.DataFrame) -> Iterable[tuple[str, str]]:
    """Return region and measure of the columns of a protocol's table."""
    if protocol is EvaluationProtocol.OURS:
        return _OURS
    names = {measure.name for measure in VOLUME_MEASURES[protocol]}
    found = table.loc[table["measure"].isin(names), ["region", "measure"]].drop_duplicates()
    return found.itertuples(index=False, name=None)


def _means(table: pandas.DataFrame, columns: Iterable[tuple[str, str]]) -> MethodMeans:
    means: MethodMeans = {}
    for region, measure in columns:
        shown = table[(table["region"] == region) & (table["measure"] == measure)]
        per_case = shown.groupby(["method", "case"], sort=False)["value"].mean()
        for method, values in per_case.groupby(level="method", sort=False):
            means.setdefault(str(method), {})[column(measure, region)] = estimate(values.tolist())
    return means
