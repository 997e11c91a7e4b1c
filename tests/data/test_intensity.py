from __future__ import annotations

import numpy as np
import pytest

from utad_monai.data import PreparedCohort
from utad_monai.data.intensity import mean_brain_intensities
from utad_monai.keys import Modality, Split


def test_the_mean_is_of_brain_pixels_and_every_case_counts_the_same(prepared_tiny_cohort: PreparedCohort) -> None:
    cases = prepared_tiny_cohort.cases(Split.TRAIN)
    means = mean_brain_intensities(prepared_tiny_cohort.store, cases)
    assert set(means) == set(Modality)
    for modality in Modality:
        volumes = [np.array(prepared_tiny_cohort.store.image(case.case_id, modality), np.float32) for case in cases]
        assert means[modality] == pytest.approx(np.mean([v[v > -1].mean() for v in volumes]), abs=1e-6)
        assert -1 < means[modality] < 1


def test_without_cases_there_is_no_mean(prepared_tiny_cohort: PreparedCohort) -> None:
    assert mean_brain_intensities(prepared_tiny_cohort.store, []) == {}
