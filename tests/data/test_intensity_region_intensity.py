"""Means of tumour regions are found without pairs, and give images the cohort's tumours."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from utad_monai.data import PreparedCohort, Preprocessing, find_cases, prepare_slices
from utad_monai.data.intensity import region_intensities, with_region_intensities
from utad_monai.keys import Modality, TumourLabel
from utad_monai.transforms import BRAIN_FLOOR

WANTED = torch.full((len(Modality), len(TumourLabel)), math.nan)
WANTED[Modality.T2.channel] = torch.tensor([math.nan, -0.5, 0.5, 0.9])


@pytest.fixture
def images() -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.rand(2, 1, 16, 16, generator=draw) * 0.4 - 0.2


@pytest.fixture
def labels() -> Tensor:
    labels = torch.zeros(2, 1, 16, 16, dtype=torch.int64)
    labels[:, :, 2:8, 2:8] = TumourLabel.OEDEMA
    labels[:, :, 9:14, 9:14] = TumourLabel.NECROTIC
    labels[0, :, 0, :10] = TumourLabel.ENHANCING
    return labels


def test_means_are_those_of_each_patients_region(prepared_tiny_cohort: PreparedCohort) -> None:
    store, cases = prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train")
    found = region_intensities(store, cases)
    assert found.shape == (4, 4)
    for modality in Modality:
        of_patients = []
        for case in cases:
            region = store.labels(case.case_id) == TumourLabel.OEDEMA
            if region.sum() >= 20:
                of_patients.append(store.image(case.case_id, modality)[region].astype(np.float64).mean())
        assert of_patients
        assert float(found[modality.channel, TumourLabel.OEDEMA]) == pytest.approx(np.mean(of_patients), abs=1e-4)
    assert found[:, TumourLabel.BACKGROUND].isnan().all()


def test_enhancement_of_t1ce_is_not_asked_of_other_images(prepared_tiny_cohort: PreparedCohort) -> None:
    found = region_intensities(prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train"))
    enhancing = found[:, TumourLabel.ENHANCING]
    assert enhancing[Modality.T1CE.channel].isnan()
    assert not enhancing[[m.channel for m in Modality if m != Modality.T1CE]].isnan().any()
    assert not found[Modality.T1CE.channel, TumourLabel.OEDEMA].isnan()


def test_a_modality_that_nobody_shows_has_no_means(
    tmp_path: Path, write_case: Callable[..., Path], tiny_preprocessing: Preprocessing
) -> None:
    write_case(tmp_path / "cohort", "BraTS_001", modalities=[Modality.T1], seed=1)
    store = prepare_slices(find_cases(tmp_path / "cohort"), tiny_preprocessing, tmp_path / "cache", progress=False)
    found = region_intensities(store, list(store.cases.values()))
    assert not found[Modality.T1.channel, TumourLabel.OEDEMA].isnan()
    assert found[Modality.T2.channel].isnan().all()


def test_regions_get_the_cohorts_mean_and_keep_what_varies_within(images: Tensor, labels: Tensor) -> None:
    target = torch.tensor([Modality.T2.channel] * 2)
    moved = with_region_intensities(images, labels, target, WANTED, BRAIN_FLOOR)
    for label, mean in ((TumourLabel.NECROTIC, -0.5), (TumourLabel.OEDEMA, 0.5)):
        for before, after, region in zip(images, moved, labels == label, strict=True):
            assert float(after[region].mean()) == pytest.approx(mean, abs=1e-5)
            assert torch.allclose(
                after[region] - after[region].mean(), before[region] - before[region].mean(), atol=1e-6
            )
    assert torch.equal(moved[labels == 0], images[labels == 0])


def test_a_few_pixels_move_in_proportion(images: Tensor, labels: Tensor) -> None:
    target = torch.tensor([Modality.T2.channel] * 2)
    region = labels[0] == TumourLabel.ENHANCING
    before = float(images[0][region].mean())
    after = float(with_region_intensities(images, labels, target, WANTED, BRAIN_FLOOR)[0][region].mean())
    assert after == pytest.approx(before + (0.9 - before) / 2, abs=1e-5)


def test_regions_that_the_cohort_does_not_show_stay(images: Tensor, labels: Tensor) -> None:
    target = torch.tensor([Modality.T1.channel] * 2)
    assert torch.equal(with_region_intensities(images, labels, target, WANTED, BRAIN_FLOOR), images)


def test_tumours_stay_brain(images: Tensor, labels: Tensor) -> None:
    dark = torch.full_like(WANTED, -1.0)
    moved = with_region_intensities(images, labels, torch.tensor([0, 3]), dark, BRAIN_FLOOR)
    assert float(moved[labels > 0].min()) == BRAIN_FLOOR
