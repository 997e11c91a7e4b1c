"""Histograms of brains: cumulative, without tumours, each patient's quantiles counting the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from utad_monai.data import PreparedCohort
from utad_monai.data.intensity_histogram import (
    BINS,
    EDGES,
    IntensityHistogram,
    MeanHistogram,
    brain_histogram,
    histogram_of_shares,
    mean_histogram,
    mean_over_patients,
    patient_histograms,
    typical_histograms,
)
from utad_monai.keys import Modality

FLAIR, T1, T1CE, T2 = Modality


def image_of(*units: float) -> torch.Tensor:
    """Return an image `(1, 1, W)` of brain with intensities on [0, 1], and a background pixel."""
    return torch.tensor([[[*(2 * unit - 1 for unit in units), -1.0]]])


def quantiles(histogram: IntensityHistogram) -> np.ndarray:
    """Return the intensities of 99 shares; they are unsure by a bin where a distribution is flat."""
    shares = np.array([0.0, *histogram.cdf]) + 1e-7 * EDGES
    found: np.ndarray = np.interp(np.linspace(0.01, 0.99, 99), shares, EDGES)
    return found


def normal(centre: float, width: float) -> IntensityHistogram:
    """Return the distribution of a brain around an intensity."""
    intensities = np.random.default_rng(0).normal(centre, width, 20000).clip(0.01, 1)
    return brain_histogram(image_of(*intensities))


def test_share_up_to_each_edge_counts_brain_alone() -> None:
    cdf = brain_histogram(image_of(0.1, 0.5, 0.5, 1.0)).cdf
    assert len(cdf) == BINS
    edges = (np.arange(BINS) + 1) / BINS
    expected = [(edge > 0.1) * 0.25 + (edge > 0.5) * 0.5 + (edge == 1) * 0.25 for edge in edges]
    np.testing.assert_allclose(cdf, expected)


def test_tumour_is_left_out() -> None:
    tumour = torch.tensor([[[0, 0, 0, 4, 0]]])
    with_it, without = brain_histogram(image_of(0.1, 0.5, 0.5, 1.0)), brain_histogram(image_of(0.1, 0.5, 0.5))
    assert brain_histogram(image_of(0.1, 0.5, 0.5, 1.0), tumour) == without != with_it


def test_image_without_healthy_brain_is_refused() -> None:
    with pytest.raises(ValueError, match="no brain outside its tumour"):
        brain_histogram(image_of(0.2), torch.tensor([[[1, 0]]]))


def test_mean_counts_each_image_by_its_weight_and_knows_the_patients() -> None:
    one, other = brain_histogram(image_of(0.1)), brain_histogram(image_of(0.9))
    running = MeanHistogram()
    assert running.mean() is None
    for histogram, weight in ((one, 0.5), (one, 0.5), (other, 1.0)):
        running.add(histogram, weight)
    mean = running.mean()
    assert mean is not None
    assert mean.patients == 2
    assert mean.cdf == mean_histogram([one, other]).cdf
    np.testing.assert_allclose(quantiles(mean), 0.5, atol=1 / BINS)


def test_mean_of_patients_that_differ_is_as_narrow_as_each_of_them() -> None:
    dark, bright = normal(0.3, 0.03), normal(0.6, 0.05)
    mean = quantiles(mean_histogram([dark, bright]))
    np.testing.assert_allclose(mean, (quantiles(dark) + quantiles(bright)) / 2, atol=1 / BINS)
    assert mean[49] == pytest.approx(0.45, abs=0.01)
    assert mean.std() == pytest.approx(0.04, abs=0.005)


def test_mean_of_one_is_itself() -> None:
    histogram = normal(0.4, 0.1)
    np.testing.assert_allclose(mean_histogram([histogram]).cdf, histogram.cdf, atol=1e-3)


def test_shares_of_a_model_become_cumulative() -> None:
    shares = [0.0] * BINS
    shares[10], shares[20] = 3.0, 1.0
    cdf = histogram_of_shares(shares).cdf
    assert (cdf[9], cdf[10], cdf[19], cdf[20], cdf[-1]) == (0, 0.75, 0.75, 1, 1)
    with pytest.raises(ValueError, match="not all 0"):
        histogram_of_shares([0.0] * BINS)


@pytest.mark.parametrize(
    "cdf",
    [[1.0], [0.5] * BINS, [0.7, 0.6, *[1.0] * 254], [float("nan"), *[1.0] * 255], [-0.1, *[1.0] * 255]],
)
def test_what_is_no_distribution_is_refused(cdf: list[float]) -> None:
    with pytest.raises(ValueError, match="intensity histogram"):
        IntensityHistogram(tuple(cdf))


def test_cohort_is_described_per_patient_without_tumours(prepared_tiny_cohort: PreparedCohort) -> None:
    store, cases = prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train")
    found = patient_histograms(store, cases)
    assert set(found) == set(Modality)
    assert set(found[T1]) == {case.patient_id for case in cases}
    case = cases[0]
    image = torch.from_numpy(np.array(store.image(case.case_id, T2)))
    labels = torch.from_numpy(np.array(store.labels(case.case_id)))
    np.testing.assert_allclose(found[T2][case.patient_id].cdf, brain_histogram(image, labels).cdf, atol=1e-3)
    assert np.abs(np.subtract(found[T2][case.patient_id].cdf, brain_histogram(image).cdf)).max() > 5e-3


def test_patient_with_several_cases_counts_once(prepared_tiny_cohort: PreparedCohort) -> None:
    store = prepared_tiny_cohort.store
    first, second, third = prepared_tiny_cohort.cases("train")[:3]
    again = replace(second, patient_id=first.patient_id)
    means = mean_over_patients(patient_histograms(store, [first, again, third]))
    single = [quantiles(patient_histograms(store, [case])[T1][case.patient_id]) for case in (first, second, third)]
    expected = (single[0] + single[1]) / 4 + single[2] / 2
    error, of_cases = (np.abs(quantiles(means[T1]) - wanted).mean() for wanted in (expected, np.mean(single, axis=0)))
    assert error < of_cases / 5
    assert means[T1].patients == 2


def test_left_out_patient_does_not_count(prepared_tiny_cohort: PreparedCohort) -> None:
    store, cases = prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train")
    histograms = patient_histograms(store, cases)
    without = mean_over_patients(histograms, [cases[0].patient_id])
    assert without == mean_over_patients(patient_histograms(store, cases[1:]))
    assert without[T1].patients == len(cases) - 1
    assert mean_over_patients(histograms, list(histograms[T1])) == {}


def test_typical_histograms_are_means_over_enough_patients_of_the_four() -> None:
    typical = typical_histograms()
    assert set(typical) == set(Modality)
    assert all(histogram.patients >= 10 for histogram in typical.values())
    middle = {modality: quantiles(histogram)[49] for modality, histogram in typical.items()}
    assert max(middle, key=lambda modality: middle[modality]) == T1


def test_shares_are_those_that_the_histogram_is_made_from() -> None:
    shares = np.random.default_rng(0).random(BINS)
    stored = histogram_of_shares(tuple(map(float, shares))).shares
    np.testing.assert_allclose(stored, shares / shares.sum(), atol=2e-6)
