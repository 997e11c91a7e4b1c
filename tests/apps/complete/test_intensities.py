"""The completed cohort's intensities: histograms without tumours, means over patients, broken files passed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from utad_monai.apps.complete import intensities
from utad_monai.apps.complete.intensities import LEAST_PATIENTS, calibration_on, measure_cohort
from utad_monai.data import Preprocessing, find_cases, load_case
from utad_monai.data.intensity_histogram import BINS, EDGES, IntensityHistogram, brain_histogram
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel
from utad_monai.transforms import LoadNifti

FLAIR, T1, T1CE, T2 = Modality


def quantiles(histogram: IntensityHistogram) -> np.ndarray:
    """Return the intensities of 99 shares; they are unsure by a bin where a distribution is flat."""
    found: np.ndarray = np.interp(np.linspace(0.01, 0.99, 99), np.array([0.0, *histogram.cdf]) + 1e-7 * EDGES, EDGES)
    return found


@pytest.fixture
def cohort(tmp_path: Path, write_case: Callable[..., Any]) -> Path:
    write_case(tmp_path / "cohort", "a", [T1, T2], seed=1)
    write_case(tmp_path / "cohort", "b", [T1], seed=2)
    write_case(tmp_path / "cohort", "c", [T1], seed=3, segmentation=False)
    return tmp_path / "cohort"


@pytest.mark.parametrize("workers", [1, 2])
def test_histogram_is_the_mean_over_patients_of_healthy_brain(cohort: Path, workers: int) -> None:
    _, found = measure_cohort(find_cases(cohort), Preprocessing(), workers, progress=False)
    single = []
    for case in find_cases(cohort):
        loaded = load_case(case, Preprocessing())
        tumour = None if loaded.regions is None else loaded.regions[:1]
        single.append(quantiles(brain_histogram(loaded.images[T1].as_tensor(), tumour)))
    np.testing.assert_allclose(quantiles(found[T1]), np.mean(single, axis=0), atol=1 / BINS)
    assert found[T1].patients == 3
    assert found[T2].patients == 1
    assert FLAIR not in found


def test_tumour_changes_nothing_where_the_segmentation_is_there(tmp_path: Path, write_case: Callable[..., Any]) -> None:
    histograms = {}
    for name in ("with", "without"):
        write_case(tmp_path / name, "a", [T2], seed=1, segmentation=name == "with")
        histograms[name] = measure_cohort(find_cases(tmp_path / name), Preprocessing(), progress=False)[1][T2].cdf
    image = LoadNifti()(tmp_path / "without" / "a" / "a_t2.nii.gz")
    normalised = Preprocessing().normalise(image).as_tensor()
    np.testing.assert_allclose(histograms["without"], brain_histogram(torch.as_tensor(normalised)).cdf, atol=1e-3)
    assert np.abs(np.subtract(histograms["with"], histograms["without"])).max() > 5e-3


def test_patient_with_two_time_points_counts_once(tmp_path: Path, write_case: Callable[..., Any]) -> None:
    for number, name in enumerate("abc"):
        write_case(tmp_path / "cohort", name, [T1], seed=number)
    a, b, c = find_cases(tmp_path / "cohort")
    _, found = measure_cohort([a, replace(b, patient_id=a.patient_id), c], Preprocessing(), progress=False)
    single = [quantiles(measure_cohort([case], Preprocessing(), progress=False)[1][T1]) for case in (a, b, c)]
    expected = (single[0] + single[1]) / 4 + single[2] / 2
    error, of_cases = (np.abs(quantiles(found[T1]) - wanted).mean() for wanted in (expected, np.mean(single, axis=0)))
    assert error < of_cases / 5
    assert found[T1].patients == 2


def test_broken_images_and_segmentations_are_passed_over(cohort: Path) -> None:
    (cohort / "b" / "b_t1.nii.gz").write_bytes(b"broken")
    (cohort / "a" / "a_seg.nii.gz").write_bytes(b"broken")
    windows, found = measure_cohort(find_cases(cohort), Preprocessing(), progress=False)
    assert found[T1].patients == 2
    assert set(windows) == set(found) == {T1, T2}


def test_without_histograms_no_segmentation_is_opened(cohort: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intensities, "_tumour", lambda *_: pytest.fail("a segmentation was opened"))
    windows, found = measure_cohort(find_cases(cohort), Preprocessing(), progress=False, histograms=False)
    assert set(windows) == {T1, T2}
    assert found == {}


def evenly(lower: float, patients: int) -> IntensityHistogram:
    """Return the histogram of `patients` whose brain has all intensities from `lower` to 1, as many of each."""
    cdf = np.clip((EDGES[1:] - lower) / (1 - lower), 0, 1)
    return replace(IntensityHistogram((*map(float, cdf[:-1]), 1.0)), patients=patients)


def test_a_model_of_a_training_is_moved_to_what_enough_patients_show(student_translator: TranslatorModel) -> None:
    model = replace(student_translator, reference_histograms=dict.fromkeys(Modality, (1 / BINS,) * BINS))
    shown = {Modality.T1: evenly(0.5, LEAST_PATIENTS), Modality.T2: evenly(0.5, LEAST_PATIENTS - 1)}
    made = calibration_on(model, shown)
    assert set(made.maps) == {Modality.T1}  # nothing typical is lent to it either
    assert made.maps[Modality.T1].knots[BINS // 2] == pytest.approx(0.75, abs=0.01)


def test_a_phantoms_model_gets_the_intensities_of_any_patient_and_typical_ones_where_there_is_none(
    student_translator: TranslatorModel,
) -> None:
    painted = dict.fromkeys(Modality, (1 / BINS,) * BINS)
    model = replace(student_translator, reference_histograms=painted, target_windows={})
    made = calibration_on(model, {Modality.T1: evenly(0.5, 1)})
    assert {modality: chosen.typical for modality, chosen in made.maps.items()} == {
        modality: modality is not Modality.T1 for modality in Modality
    }
