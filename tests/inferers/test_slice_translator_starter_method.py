"""The starter as a method: calibrated on the cohort, mirror images too, nothing where there is none."""

from __future__ import annotations

from pathlib import Path

import torch

from utad_monai.data import EvaluationCases, PreparedCohort
from utad_monai.inferers import CohortCalibrator, SliceTranslator
from utad_monai.inferers.slice_translator import both_ways, calibrated_starter
from utad_monai.keys import BatchKey, Modality
from utad_monai.models.starter import load_starter


def test_starter_translates_calibrated_and_both_ways(starter_file: Path, prepared_tiny_cohort: PreparedCohort) -> None:
    assert starter_file.is_file()
    store, cases = prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train")
    starter, calibrator = load_starter(), CohortCalibrator(store, cases)
    images = EvaluationCases(store, cases[:1])[0][BatchKey.IMAGE]
    given = {Modality.T1: images[Modality.T1], Modality.FLAIR: images[Modality.FLAIR]}
    method, plain = calibrated_starter(starter, calibrator), calibrated_starter(starter, calibrator, flips=False)
    assert method is not None
    assert plain is not None
    assert method.several
    assert plain.several
    own = calibrator.fit(starter.reference_histograms)
    expected = both_ways(SliceTranslator(starter.generator, calibration=own), given, Modality.T2)
    assert torch.equal(method(given, Modality.T2), expected.mean(dim=0))
    assert torch.equal(plain(given, Modality.T2), expected[0])
    assert not torch.equal(plain(given, Modality.T2), SliceTranslator(starter.generator)(given, Modality.T2))


def test_without_a_starter_there_is_no_method(prepared_tiny_cohort: PreparedCohort) -> None:
    assert calibrated_starter(None, CohortCalibrator(prepared_tiny_cohort.store, [])) is None
