"""Contrast maps find contrasts without pairs, say when they cannot, and never look at a patient's own target."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch

from utad_monai.contrast import ContrastMaps, fit_contrast_maps
from utad_monai.contrast.fitting import intensity_histograms
from utad_monai.keys import Modality

Cohort = Callable[..., Any]
ALL = tuple(Modality)
TISSUES = {
    Modality.FLAIR: (0.15, 0.7, 0.45),
    Modality.T1: (0.2, 0.5, 0.8),
    Modality.T1CE: (0.2, 0.45, 0.75),
    Modality.T2: (0.9, 0.6, 0.3),
}
"""Intensity of CSF, grey and white matter in the cohorts of these tests, on [0, 1]."""


def mapped(maps: ContrastMaps, source: Modality, target: Modality) -> np.ndarray:
    """Return what the three tissues of the source become, on [0, 1]."""
    tissues = torch.tensor(TISSUES[source])[None, None] * 2 - 1
    return ((maps.translate(tissues, source, target) + 1) / 2)[0, 0].numpy()


@pytest.mark.parametrize(("source", "target"), list(permutations(Modality, 2)))
def test_contrasts_are_found_without_pairs(cohort: Cohort, source: Modality, target: Modality) -> None:
    maps = fit_contrast_maps(*cohort([ALL] * 6))
    assert mapped(maps, source, target) == pytest.approx(TISSUES[target], abs=0.12)
    assert not maps.paired


def test_patients_with_one_modality_each_are_enough(cohort: Cohort) -> None:
    patients = [(Modality.T1,), (Modality.T2,)] * 4
    maps = fit_contrast_maps(*cohort(patients))
    assert mapped(maps, Modality.T1, Modality.T2) == pytest.approx(TISSUES[Modality.T2], abs=0.12)
    assert mapped(maps, Modality.T2, Modality.T1) == pytest.approx(TISSUES[Modality.T1], abs=0.12)


def test_the_own_target_of_a_patient_is_never_looked_at_and_histograms_are_matched_instead(cohort: Cohort) -> None:
    store, cases = cohort([(Modality.T1,)] * 3 + [ALL])
    alone = replace(cases[3], patient_id="P0")  # the only T2 is of a patient that has T1 too
    maps = fit_contrast_maps(store, [*cases[1:3], alone])
    assert mapped(maps, Modality.T1, Modality.T2)[0] > 0.8  # two other patients have T1: the falling contrast is seen
    maps = fit_contrast_maps(store, [cases[0], alone])
    assert bool((maps.curves[Modality.T1.channel, Modality.T2.channel].diff() >= 0).all())
    assert maps.agreement.count_nonzero() == 0


def test_a_modality_of_a_single_patient_is_mapped_to_and_from(cohort: Cohort) -> None:
    maps = fit_contrast_maps(*cohort([(Modality.T1,)] * 5 + [(Modality.T2,)]))
    for source, target in permutations((Modality.T1, Modality.T2)):
        assert mapped(maps, source, target) == pytest.approx(TISSUES[target], abs=0.2)


def test_brains_that_do_not_lie_on_each_other_are_matched_by_histogram_and_that_is_said(
    cohort: Cohort, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        maps = fit_contrast_maps(*cohort([ALL] * 5, scattered=True))
    (line,) = [record.message for record in caplog.records if "contrast maps" in record.message]
    assert "histograms are matched" in line
    assert bool((maps.curves.diff(dim=-1) >= 0).all())
    assert maps.agreement.count_nonzero() == 0


def test_a_shared_space_is_said_in_one_line(cohort: Cohort, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        fit_contrast_maps(*cohort([ALL] * 4))
    (line,) = [record.message for record in caplog.records if "contrast maps" in record.message]
    assert "through the mean brain" in line


def test_pairs_need_no_shared_space(cohort: Cohort) -> None:
    maps = fit_contrast_maps(*cohort([ALL] * 3, scattered=True), paired=True)
    assert maps.paired
    assert float(maps.agreement[Modality.T1.channel, Modality.T2.channel]) > 0.9
    for source, target in permutations(Modality, 2):
        assert mapped(maps, source, target) == pytest.approx(TISSUES[target], abs=0.04)


def test_without_any_pair_the_paired_fit_falls_back_to_histogram_matching(cohort: Cohort) -> None:
    maps = fit_contrast_maps(*cohort([(Modality.T1,), (Modality.T2,)]), paired=True)
    assert bool((maps.curves[Modality.T1.channel, Modality.T2.channel].diff() >= 0).all())


def test_tumours_are_left_out(cohort: Cohort) -> None:
    store, cases = cohort([ALL] * 5, tumour=0.97)
    unpaired, paired = fit_contrast_maps(store, cases), fit_contrast_maps(store, cases, paired=True)
    histogram = intensity_histograms(store, cases)[Modality.T1]
    assert histogram[-4:].sum() == 0
    for maps in (unpaired, paired):
        assert mapped(maps, Modality.T2, Modality.T1) == pytest.approx(TISSUES[Modality.T1], abs=0.12)


def test_cases_without_segmentation_take_part(cohort: Cohort) -> None:
    store, cases = cohort([ALL] * 4)
    for case in cases:
        (case.folder / "labels.npy").unlink()
    unsegmented = [replace(case, tumour_pixels=None) for case in cases]
    maps = fit_contrast_maps(store, unsegmented)
    assert mapped(maps, Modality.T1, Modality.T2) == pytest.approx(TISSUES[Modality.T2], abs=0.12)


def test_a_modality_that_no_case_has_is_mapped_by_the_identity(cohort: Cohort) -> None:
    maps = fit_contrast_maps(*cohort([(Modality.T1, Modality.T2)] * 4))
    assert mapped(maps, Modality.T1, Modality.FLAIR) == pytest.approx(TISSUES[Modality.T1], abs=1e-4)


def test_the_stretch_gives_at_most_the_spread_of_the_target(cohort: Cohort) -> None:
    store, cases = cohort([ALL] * 6)
    maps = fit_contrast_maps(store, cases)
    histograms = intensity_histograms(store, cases)
    grid = torch.linspace(0, 1, 64)
    for source, target in permutations(Modality, 2):
        own, wanted = (torch.from_numpy(histograms[m]).float() for m in (source, target))
        curve = maps.curves[source.channel, target.channel]
        assert _spread(curve, own) <= _spread(grid, wanted) * 1.001


def test_a_fit_is_repeatable(cohort: Cohort) -> None:
    store, cases = cohort([ALL] * 3)
    assert torch.equal(fit_contrast_maps(store, cases).curves, fit_contrast_maps(store, cases).curves)


def _spread(curve: torch.Tensor, histogram: torch.Tensor) -> float:
    middle = (curve * histogram).sum()
    return float((((curve - middle) ** 2) * histogram).sum().sqrt())
