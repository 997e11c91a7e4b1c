"""What a model of several sources is worth on a cohort that it never saw, beside the yardsticks.

python -m benchmarks.starter COHORT [--model M] [--pixels 96 80] [--workers 2] [--split S --parts train validation]

Every patient is judged by a calibration and by contrast maps that were fitted on the others. Prints a table and, with
`--output`, writes one row per case, target, set of sources and method.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
from torch import Tensor

from utad_monai.contrast import fit_yardsticks
from utad_monai.data import Preprocessing, SliceStore, look_for_cases, prepare_slices
from utad_monai.data.intensity_histogram import PatientHistograms, mean_over_patients, patient_histograms
from utad_monai.data.slice_store import SlicedCase
from utad_monai.inferers import Calibration, fit_calibration
from utad_monai.inferers.slice_translator import starter_method
from utad_monai.keys import ImageSource, Modality
from utad_monai.metrics.image_quality import PROTOCOL, image_quality
from utad_monai.metrics.statistics import estimate
from utad_monai.metrics.tissue_contrast import TISSUE_PROTOCOL, tissue_contrast
from utad_monai.models import load_translator
from utad_monai.models.starter import load_starter
from utad_monai.runtime.files import read_table
from utad_monai.runtime.workers import worker_pool
from utad_monai.transforms import LabelsToTumourRegions

STARTER, UNCALIBRATED = "starter", "starter, not calibrated"
MEASURES = ("ssim", "mae", "tumour_ssim", "tumour_mae", "tissue_order", "tissue_contrast")
FRAME_MM = (240.0, 200.0)
_LEAST_BRAIN = 0.02


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--model", type=Path, help="by default the packaged starter weights")
    parser.add_argument("--pixels", type=int, nargs=2, default=(96, 80), help="height and width of a slice")
    parser.add_argument("--step", type=int, default=12, help="every n-th slice with brain is measured")
    parser.add_argument("--cache", type=Path, default=Path("benchmark-slices"))
    parser.add_argument("--split", type=Path, help="a split.csv; all cases without one")
    parser.add_argument("--parts", nargs="+", default=["train", "validation", "test"])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--output", type=Path, help="a CSV of every measurement")
    options = parser.parse_args()
    preprocessing = Preprocessing(frame_size_mm=FRAME_MM, image_size=tuple(options.pixels))
    judged = _judged(options.split, options.parts)
    rows = measure(options.cohort, preprocessing, options.cache, options.model, options.step, judged, options.workers)
    if options.output is not None:
        rows.to_csv(options.output, index=False)
    protocol = {**PROTOCOL, **TISSUE_PROTOCOL}
    print("\n".join(f"{name}: {text}" for name, text in protocol.items()))
    print(f"every {options.step}th slice with brain, {tuple(options.pixels)} pixels of {FRAME_MM} mm")
    print(summary(rows).to_string(index=False))
    print(against(rows).to_string(index=False))
    print(pairs(rows).to_string(index=False))


def _judged(split: Path | None, parts: Sequence[str]) -> set[str] | None:
    if split is None:
        return None
    table = read_table(split, dtype=str)
    return set(table["case"][table["split"].isin(parts)])


def measure(
    cohort: Path,
    preprocessing: Preprocessing,
    cache: Path,
    model: Path | None = None,
    step: int = 12,
    judged: set[str] | None = None,
    workers: int = 1,
) -> pandas.DataFrame:
    """Return one row per case, target, set of sources and method.

    Args:
        cohort: complete cases with segmentations.
        preprocessing: size and field of view of the slices.
        cache: folder for prepared slices.
        model: a mask-free model of several sources; the packaged starter when None.
        step: every so many slices one is measured.
        judged: names of the cases to judge; all when None. Calibration and maps are fitted on all others.
        workers: processes side by side.
    """
    cases = list(look_for_cases(cohort).cases)
    store = prepare_slices(cases, preprocessing, cache)
    complete = [case for case in store.cases.values() if len(case.modalities) == 4 and case.tumour_pixels is not None]
    histograms = patient_histograms(store, complete)
    wanted = [case for case in complete if judged is None or case.case_id in judged]
    jobs = [_Job(store, complete, histograms, case, model, step=step) for case in wanted]
    if workers == 1:
        return pandas.DataFrame([row for job in jobs for row in job()])
    with worker_pool(workers, threads=1) as pool:
        return pandas.DataFrame([row for rows in pool.map(_call, jobs) for row in rows])


class _Job:
    """The measurement of one case, which can be sent to another process."""

    def __init__(
        self,
        store: SliceStore,
        cases: Sequence[SlicedCase],
        histograms: PatientHistograms,
        case: SlicedCase,
        model: Path | None,
        *,
        step: int,
    ) -> None:
        self.store, self.cases, self.histograms = store, cases, histograms
        self.case, self.model, self.step = case, model, step

    def __call__(self) -> list[dict[str, Any]]:
        """Return the rows of the case."""
        others = [case for case in self.cases if case.patient_id != self.case.patient_id]
        translator = load_starter() if self.model is None else load_translator(self.model)
        cohort = mean_over_patients(self.histograms, [self.case.patient_id])
        calibration = fit_calibration(translator.reference_histograms, cohort)
        methods: dict[str, Any] = {
            STARTER: starter_method(translator, calibration),
            UNCALIBRATED: starter_method(translator, Calibration()),
            **{str(name): method for name, method in fit_yardsticks(self.store, others).items()},
        }
        images, regions = self._slices()
        return [
            {"case": self.case.case_id, "target": str(target), "sources": "+".join(sources), "method": name}
            | {"count": len(sources)}
            | _quality(images[target], made, regions[0])
            for target in Modality
            for sources in _subsets(target)
            for name, made in _made(methods, images, sources, target, regions[0])
        ]

    def _slices(self) -> tuple[dict[Modality, Tensor], Tensor]:
        brain = np.array(self.case.brain_pixels)
        chosen = np.flatnonzero(brain >= _LEAST_BRAIN * np.prod(self.store.preprocessing.image_size))
        chosen = chosen[len(chosen) % self.step // 2 :: self.step]
        images = {
            modality: torch.from_numpy(self.store.image(self.case.case_id, modality)[chosen].astype(np.float32))
            for modality in Modality
        }
        labels = torch.from_numpy(self.store.labels(self.case.case_id)[chosen].copy())
        return images, LabelsToTumourRegions()(labels[None])


def _call(job: _Job) -> list[dict[str, Any]]:
    return job()


def _subsets(target: Modality) -> Iterator[tuple[Modality, ...]]:
    others = [modality for modality in Modality if modality != target]
    for count in range(1, len(others) + 1):
        yield from combinations(others, count)


def _made(
    methods: Mapping[str, Any],
    images: Mapping[Modality, Tensor],
    sources: Sequence[Modality],
    target: Modality,
    mask: Tensor,
) -> Iterator[tuple[str, Tensor]]:
    """Yield what each method makes, and a copy where there is one source."""
    given = {source: images[source] for source in sources}
    for name, method in methods.items():
        yield name, method(given, target, mask)
    if len(sources) == 1:
        yield str(ImageSource.COPY_SOURCE), images[sources[0]]


def _quality(real: Tensor, made: Tensor, mask: Tensor) -> dict[str, float]:
    quality = image_quality(real, made, mask) | tissue_contrast(real, made, mask)
    return {name: quality[name] for name in MEASURES}


def summary(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Return means over targets and sets of sources, with 95 % bootstrap intervals over patients."""
    return _estimates(rows.groupby(["method", "count", "case"])[list(MEASURES)].mean(), ["method", "count"])


def against(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Return the starter's advantage over every other method, paired by patient, with intervals; errors turned over."""
    means = rows.groupby(["method", "count", "case"])[list(MEASURES)].mean()
    parts = []
    for method in means.index.unique("method").drop(STARTER):
        difference = (means.loc[STARTER] - means.loc[method]).dropna(how="all")
        errors = [name for name in MEASURES if name.endswith("mae")]
        difference[errors] = -difference[errors]
        parts.append(pandas.concat({f"starter - {method}": difference}, names=["method"]))
    return _estimates(pandas.concat(parts), ["method", "count"])


def pairs(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Return the starter's mean of each target and set of sources, and its advantage over copying in SSIM."""
    table = rows.groupby(["target", "sources", "method"])[list(MEASURES)].mean().reset_index()
    starter = table[table["method"] == STARTER].drop(columns="method").set_index(["target", "sources"])
    copy = table[table["method"] == str(ImageSource.COPY_SOURCE)].set_index(["target", "sources"])["ssim"]
    return starter.assign(ssim_over_copy=starter["ssim"] - copy).reset_index().round(3)


def _estimates(per_case: pandas.DataFrame, by: list[str]) -> pandas.DataFrame:
    lines = []
    for key, group in per_case.groupby(level=by):
        line: dict[str, Any] = dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True))
        for name in MEASURES:
            found = estimate(group[name].tolist())
            line[name] = f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
        lines.append(line)
    return pandas.DataFrame(lines)


if __name__ == "__main__":
    main()
