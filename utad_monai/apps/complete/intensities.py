"""The intensities of a completion: those of the training cohort, or those measured on the completed cohort."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from utad_monai.apps.complete.settings import CompletionSettings
from utad_monai.data.case_volumes import load_image
from utad_monai.data.intensity_histogram import (
    IntensityHistogram,
    MeanHistogram,
    brain_histogram,
    typical_histograms,
)
from utad_monai.data.layouts import Case
from utad_monai.data.preprocessing import Preprocessing
from utad_monai.data.slice_store import case_key
from utad_monai.inferers.calibration import Calibration, fit_calibration
from utad_monai.keys import IntensityRange, Modality
from utad_monai.models import TranslatorModel
from utad_monai.runtime.files import read_record, write_json
from utad_monai.runtime.progress import progress_bar
from utad_monai.runtime.workers import map_in_threads
from utad_monai.transforms import BACKGROUND, CanonicalLabels, IntensityWindow, LoadNifti, brain_window
from utad_monai.transforms.grid import in_lps

VALIDATED_FOLDER = ".validated"
"""Its name in an output folder; no case has it, because names of cases never begin with a dot."""


class ValidatedCases:
    """Warnings of sound cases, kept under path, size and time of their files.

    Args:
        output_dir: the folder that holds the records.
        preprocessing: what the cases were opened for.
    """

    def __init__(self, output_dir: str | Path, preprocessing: Preprocessing) -> None:
        self.folder = Path(output_dir) / VALIDATED_FOLDER
        self.preprocessing = preprocessing

    def warnings(self, case: Case) -> tuple[str, ...] | None:
        """Return what was doubtful about a sound case; None when it was not opened, or has changed since."""
        try:
            found = json.loads(self._record(case).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return tuple(found) if isinstance(found, list) and all(isinstance(text, str) for text in found) else None

    def keep(self, case: Case, warnings: tuple[str, ...]) -> None:
        """Remember that a case is sound."""
        write_json(self._record(case), list(warnings))

    def _record(self, case: Case) -> Path:
        return self.folder / f"{case_key(case, self.preprocessing)}.json"


LEAST_PATIENTS = 3
"""So many patients of a cohort calibrate a model that was trained on another (measured: docs/results.md)."""
CALIBRATION_FILE = "calibration.json"
"""Its name in the output folder."""
_FORMAT = 3
"""Raised whenever windows or maps are measured in another way: what was kept before is measured anew."""

Measured = tuple[Modality, IntensityWindow, IntensityHistogram | None]


@dataclass(frozen=True)
class CohortIntensities:
    """What volumes are given so that they look like a cohort's own.

    Attributes:
        windows: the median brain window of each modality that the cohort has, in file units.
        calibration: maps from what the model paints to the cohort's distribution. Where the cohort shows none, those of
            a phantom's model lead to a typical one, and a model that was trained on a cohort has no map.
    """

    windows: Mapping[Modality, IntensityWindow] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)

    def summary(self) -> dict[str, Any]:
        """Return what a manifest says of the calibration: for each modality patients and digest."""
        return {str(modality): self.calibration.summary(modality) for modality in self.calibration.maps}


def completion_intensities(
    cases: Sequence[Case],
    translator: TranslatorModel,
    settings: CompletionSettings,
    output_dir: str | Path,
    workers: int = 1,
    *,
    progress: bool = True,
) -> CohortIntensities:
    """Return the cohort's intensities as far as a completion needs them; what was measured is kept beside the results.

    Args:
        cases: the whole cohort.
        translator: the model.
        settings: of the model (`CompletionSettings.of_model`).
        output_dir: receives `CALIBRATION_FILE`, atomically; one of the same cohort and model is read instead.
        workers: threads; one image each is in memory.
        progress: whether to show a progress bar.
    """
    calibrated = settings.calibrate and bool(translator.reference_histograms)
    if not calibrated and settings.intensities is not IntensityRange.COHORT:
        return CohortIntensities()
    key = _key(cases, translator, calibrated)
    found = stored_intensities(output_dir, key)
    if found is None:
        windows, histograms = measure_cohort(cases, translator.preprocessing, workers, progress, calibrated)
        maps = calibration_on(translator, histograms) if calibrated else Calibration()
        found = CohortIntensities(windows, maps)
        write_json(Path(output_dir) / CALIBRATION_FILE, _as_data(found, key))
    return found


def calibration_on(translator: TranslatorModel, histograms: Mapping[Modality, IntensityHistogram]) -> Calibration:
    """Return the calibration on a cohort.

    What none of its images shows is given the typical intensities by a model that a phantom taught, and stays as it is
    by one of a training: that paints a cohort's intensities already, and `LEAST_PATIENTS` move it to another's.

    Args:
        translator: the model.
        histograms: the mean distribution of each modality that the cohort has.
    """
    painted = translator.reference_histograms
    if not translator.taught:
        shown = {modality: one for modality, one in histograms.items() if one.patients >= LEAST_PATIENTS}
        return fit_calibration(painted, shown)
    lent = {modality: one for modality, one in typical_histograms().items() if modality not in histograms}
    own = fit_calibration(painted, histograms)
    return Calibration({**own.maps, **fit_calibration(painted, lent, typical=True).maps})


def kept_intensities(
    cases: Sequence[Case], translator: TranslatorModel, settings: CompletionSettings, output_dir: str | Path
) -> CohortIntensities | None:
    """Return what an earlier completion of the same cohort measured, or None; no image is opened."""
    calibrated = settings.calibrate and bool(translator.reference_histograms)
    if not calibrated and settings.intensities is not IntensityRange.COHORT:
        return CohortIntensities()
    return stored_intensities(output_dir, _key(cases, translator, calibrated))


def stored_intensities(output_dir: str | Path, key: str) -> CohortIntensities | None:
    """Read `CALIBRATION_FILE` of a cohort and model; None when there is none of them."""
    content = read_record(Path(output_dir) / CALIBRATION_FILE)
    if content is None or content.get("key") != key:
        return None
    try:
        windows = {Modality.named(m): IntensityWindow(*map(float, window)) for m, window in content["windows"].items()}
        return CohortIntensities(windows, Calibration.from_data(content["maps"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def measure_cohort(
    cases: Sequence[Case],
    preprocessing: Preprocessing,
    workers: int = 1,
    progress: bool = True,
    histograms: bool = True,
) -> tuple[dict[Modality, IntensityWindow], dict[Modality, IntensityHistogram]]:
    """Return the median brain window and the mean histogram of each modality over a cohort's images.

    Windows are medians over images, histograms means over patients (of quantiles), of brain without tumour where a
    segmentation is there. Images that cannot be read are passed over: the case itself is refused where it is completed.
    Memory does not grow with the cohort.

    Args:
        cases: the cohort.
        preprocessing: gives the percentiles.
        workers: cases at a time; one image each is in memory, and the segmentation.
        progress: whether to show a progress bar.
        histograms: whether histograms are asked; segmentations are not opened otherwise.
    """
    repeats = Counter((case.patient_id, modality) for case in cases for modality in case.images)
    windows: dict[Modality, list[IntensityWindow]] = {}
    means = {modality: MeanHistogram() for modality in preprocessing.modalities}
    jobs = map_in_threads(lambda case: _measure_case(case, preprocessing, histograms), list(cases), workers)
    bar = progress_bar(jobs, "Intensities", total=len(cases), unit="case", show=progress)
    for case, measured in zip(cases, bar, strict=True):
        for modality, window, histogram in measured:
            windows.setdefault(modality, []).append(window)
            if histogram is not None:
                means[modality].add(histogram, 1 / repeats[case.patient_id, modality])
    medians = {
        modality: IntensityWindow(median(w.lower for w in of), median(w.upper for w in of))
        for modality, of in sorted(windows.items(), key=lambda item: preprocessing.modalities.channel(item[0]))
    }
    found = {modality: mean for modality in preprocessing.modalities if (mean := means[modality].mean()) is not None}
    return medians, found


def _measure_case(case: Case, preprocessing: Preprocessing, histograms: bool) -> list[Measured]:
    tumour = _tumour(case) if histograms else None
    measured: list[Measured] = []
    for modality in case.images:
        try:
            image = load_image(case, modality).as_tensor()
            window = brain_window(image, preprocessing.lower_percentile, preprocessing.upper_percentile)
            histogram = _histogram(image, window, tumour) if histograms else None
        except ValueError:
            continue
        measured.append((modality, window, histogram))
    return measured


def _histogram(image: Tensor, window: IntensityWindow, tumour: Tensor | None) -> IntensityHistogram | None:
    """Describe an image; without the tumour only where the segmentation lies on its grid."""
    normalised = window.normalise(image, image != 0)
    fits = tumour is not None and tumour.shape == normalised.shape
    healthy = normalised.masked_fill(tumour, BACKGROUND) if fits and tumour is not None else normalised
    return brain_histogram(healthy) if bool((healthy > BACKGROUND).any()) else brain_histogram(normalised)


def _tumour(case: Case) -> Tensor | None:
    """Return `(1, X, Y, Z)` bool, the whole tumour; None without a sound segmentation."""
    if case.segmentation is None:
        return None
    try:
        labels = in_lps(LoadNifti()(case.segmentation)).as_tensor()
        return torch.as_tensor(CanonicalLabels(case.labels)(labels) > 0)
    except ValueError:
        return None


def _key(cases: Sequence[Case], translator: TranslatorModel, calibrated: bool) -> str:
    keys = sorted(case_key(case, translator.preprocessing) for case in cases)
    content = [_FORMAT, translator.sha256, calibrated, keys]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _as_data(intensities: CohortIntensities, key: str) -> dict[str, Any]:
    windows = {str(m): [window.lower, window.upper] for m, window in intensities.windows.items()}
    return {"key": key, "windows": windows, "maps": intensities.calibration.as_data()}
