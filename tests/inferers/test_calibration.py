"""Calibration: what the model paints gets the cohort's distribution, order stays, and nobody judges himself."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from utad_monai.data import PreparedCohort
from utad_monai.data.intensity_histogram import (
    BINS,
    EDGES,
    IntensityHistogram,
    brain_histogram,
    mean_over_patients,
    patient_histograms,
)
from utad_monai.inferers import (
    Calibration,
    CohortCalibrator,
    IntensityMap,
    SliceTranslator,
    calibrations_without_each,
    fit_calibration,
    fit_store_calibration,
)
from utad_monai.inferers import calibration as calibration_module
from utad_monai.inferers.calibration import STRAIGHT_ABOVE
from utad_monai.keys import Modality
from utad_monai.networks import TumourAwareGenerator
from utad_monai.transforms import BRAIN_FLOOR

FLAIR, T1, T1CE, T2 = Modality


def painted(power: float) -> Tensor:
    """Return slices `(2, 40, 40)` of brain whose intensities are those of a uniform brain to a power."""
    slices = torch.full((2, 40, 40), -1.0)
    unit = torch.linspace(0.002, 1, 2 * 30 * 30).reshape(2, 30, 30) ** power
    slices[:, 5:35, 5:35] = (unit * 2 - 1).clamp_min(BRAIN_FLOOR)
    return slices


def shares_of(slices: Tensor) -> list[float]:
    return [float(share) for share in np.diff([0.0, *brain_histogram(slices).cdf])]


@pytest.mark.parametrize("power", [0.5, 1.0, 1.4])
def test_calibrated_slices_have_the_cohorts_distribution(power: float) -> None:
    cohort = brain_histogram(painted(0.8))
    calibration = fit_calibration({T2: shares_of(painted(power))}, {T2: cohort})
    made = brain_histogram(calibration(painted(power), T2))
    np.testing.assert_allclose(made.cdf, cohort.cdf, atol=0.02)


def test_map_is_a_straight_line_above_most_of_the_healthy_brain() -> None:
    cohort = brain_histogram(painted(0.3))
    calibration = fit_calibration({T2: shares_of(painted(2.0))}, {T2: cohort})
    knots = np.array(calibration.maps[T2].knots)
    start = int(np.argmax(EDGES**0.5 >= STRAIGHT_ABOVE)) + 1  # uniform brain to the power of 2
    np.testing.assert_allclose(knots[start:], np.interp(EDGES[start:], [EDGES[start], 1], [knots[start], 1]), atol=2e-6)
    matched = np.interp(EDGES**0.5, [0.0, *cohort.cdf], EDGES)
    np.testing.assert_allclose(knots[5:start], matched[5:start], atol=0.01)
    assert np.abs(knots - matched).max() > 0.01


def test_order_of_intensities_and_background_stay() -> None:
    calibration = fit_calibration({T1: shares_of(painted(0.5))}, {T1: brain_histogram(painted(3.0))})
    before = painted(0.5)
    after = calibration(before, T1)
    brain = before > -1
    assert torch.equal(after > -1, brain)
    assert bool((after[brain].diff() >= 0).all())
    assert float(after[brain].min()) >= BRAIN_FLOOR
    assert float(after.max()) <= 1


def test_map_to_itself_changes_nothing_but_rounding() -> None:
    calibration = fit_calibration({T1: shares_of(painted(1.5))}, {T1: brain_histogram(painted(1.5))})
    torch.testing.assert_close(calibration(painted(1.5), T1), painted(1.5), rtol=0, atol=2 / BINS + 1e-4)


def test_intensities_that_neither_side_has_stay_in_order() -> None:
    gap = painted(1.0)
    gap = torch.where((gap > -0.2) & (gap < 0.3), 0.4, gap)
    calibration = fit_calibration({T1: shares_of(gap)}, {T1: brain_histogram(torch.where(gap > 0.5, 0.5, gap))})
    knots = calibration.maps[T1].knots
    assert all(after >= before for before, after in pairwise(knots))
    assert (knots[0], knots[-1]) == (0, 1)


def test_modality_that_the_cohort_or_the_model_lacks_keeps_the_models_intensities() -> None:
    shares, histogram = shares_of(painted(0.5)), brain_histogram(painted(3.0))
    calibration = fit_calibration({T1: shares, T2: shares}, {T2: histogram, FLAIR: histogram})
    assert set(calibration.maps) == {T2}
    assert torch.equal(calibration(painted(0.5), T1), painted(0.5))
    assert calibration.summary(T1) is None


def test_translations_are_calibrated_after_the_network() -> None:
    generator = TumourAwareGenerator(2, "global_only", sources="several", conditional_norms=True, gain_head=True)
    calibration = fit_calibration({T2: shares_of(painted(0.5))}, {T2: brain_histogram(painted(3.0))})
    images = {FLAIR: painted(1.0)[:, :32, :32], T1: painted(2.0)[:, :32, :32]}
    plain, calibrated = SliceTranslator(generator), SliceTranslator(generator, calibration=calibration)
    assert torch.equal(calibrated(images, T2), calibration(plain(images, T2), T2))
    assert torch.equal(calibrated(images, T1CE), plain(images, T1CE))


def test_calibration_goes_through_a_file_and_its_digest_says_when_it_changed() -> None:
    shares = shares_of(painted(0.5))
    one, other = (fit_calibration({T2: shares}, {T2: brain_histogram(painted(p))}) for p in (2.0, 3.0))
    back = Calibration.from_data(json.loads(json.dumps(one.as_data())))
    assert back == one
    summary = one.summary(T2)
    assert summary is not None
    assert summary == back.summary(T2) != other.summary(T2)
    assert summary["patients"] == 1


@pytest.mark.parametrize("knots", [[0.0, 1.0], [0.5, 0.4, *[1.0] * 255], [0.0] * 256 + [1.5], [float("nan")] * 257])
def test_what_is_no_map_is_refused(knots: list[float]) -> None:
    with pytest.raises(ValueError, match="intensity map needs 257 knots"):
        IntensityMap(tuple(knots), 1)


def test_patient_is_judged_by_a_calibration_that_did_not_see_it(prepared_tiny_cohort: PreparedCohort) -> None:
    store, cases = prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train")
    reference = dict.fromkeys(Modality, shares_of(painted(1.0)))
    histograms = patient_histograms(store, cases)
    found = calibrations_without_each(reference, histograms)
    assert set(found) == {case.patient_id for case in cases}
    for case in cases:
        others = [other for other in cases if other.patient_id != case.patient_id]
        assert found[case.patient_id] == fit_store_calibration(reference, store, others)
        assert found[case.patient_id] == fit_store_calibration(reference, store, cases, [case.patient_id])
        assert found[case.patient_id] != fit_store_calibration(reference, store, cases)
        assert found[case.patient_id].maps[T1].patients == len(cases) - 1


def test_calibrator_reads_the_cases_once_and_leaves_out_who_is_judged(
    prepared_tiny_cohort: PreparedCohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cases = prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train")
    reference = dict.fromkeys(Modality, shares_of(painted(1.0)))
    reads: list[int] = []
    monkeypatch.setattr(
        calibration_module,
        "patient_histograms",
        lambda store, cases: reads.append(len(cases)) or patient_histograms(store, cases),
    )
    calibrator = CohortCalibrator(store, cases, judged=[cases[0], *prepared_tiny_cohort.cases("test")])
    assert calibrator.fit({}) == Calibration()
    assert reads == []
    assert calibrator.fit(reference) == fit_store_calibration(reference, store, cases[1:])
    assert calibrator.fit(reference) == calibrator.fit(dict(reference))
    assert reads[0] == len(cases) - 1
    assert len(reads) == 2  # the other is that of fit_store_calibration


def test_map_leads_to_the_mean_over_patients(prepared_tiny_cohort: PreparedCohort) -> None:
    store, cases = prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train")
    calibration = fit_store_calibration({T1: shares_of(painted(1.0))}, store, cases)
    cohort: IntensityHistogram = mean_over_patients(patient_histograms(store, cases))[T1]
    made = brain_histogram(calibration(painted(1.0), T1))
    np.testing.assert_allclose(made.cdf, cohort.cdf, atol=0.03)


def test_map_of_the_packaged_average_says_so_and_survives_a_file() -> None:
    shares = {T2: shares_of(painted(1.0)), T1: shares_of(painted(1.0))}
    own = fit_calibration(shares, {T1: brain_histogram(painted(0.8))})
    lent = fit_calibration(shares, {T2: brain_histogram(painted(0.8))}, typical=True)
    both = Calibration({**own.maps, **lent.maps})
    again = Calibration.from_data(json.loads(json.dumps(both.as_data())))
    assert again == both
    assert (again.summary(T2) or {})["typical"] is True
    assert "typical" not in (again.summary(T1) or {})
