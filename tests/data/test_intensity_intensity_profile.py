"""Training images look usual, others do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from utad_monai.data import PreparedCohort
from utad_monai.data.intensity import (
    LEVELS,
    UNUSUAL,
    IntensityProfile,
    brain_quantiles,
    intensity_profiles,
    profiles_as_data,
    profiles_from_data,
)
from utad_monai.keys import Modality, Split


@pytest.fixture(scope="module")
def profiles(prepared_tiny_cohort: PreparedCohort) -> dict[Modality, IntensityProfile]:
    return intensity_profiles(prepared_tiny_cohort.store, prepared_tiny_cohort.cases(Split.TRAIN))


def test_quantiles_are_those_of_the_brain_alone() -> None:
    slices = torch.full((2, 4, 4), -1.0)
    slices[0] = torch.linspace(-0.9, 0.9, 16).reshape(4, 4)
    assert brain_quantiles(slices) == pytest.approx(np.quantile(np.linspace(-0.9, 0.9, 16), LEVELS))
    with pytest.raises(ValueError, match="no brain"):
        brain_quantiles(torch.full((2, 4, 4), -1.0))


def test_images_of_the_test_split_look_like_the_training_images(
    prepared_tiny_cohort: PreparedCohort, profiles: dict[Modality, IntensityProfile]
) -> None:
    (case,) = prepared_tiny_cohort.cases(Split.TEST)
    for modality, profile in profiles.items():
        slices = torch.from_numpy(prepared_tiny_cohort.store.image(case.case_id, modality).astype(np.float32))
        assert profile.distance(slices) < UNUSUAL


def test_an_image_of_other_contrast_does_not(
    prepared_tiny_cohort: PreparedCohort, profiles: dict[Modality, IntensityProfile]
) -> None:
    (case,) = prepared_tiny_cohort.cases(Split.TEST)
    slices = torch.from_numpy(prepared_tiny_cohort.store.image(case.case_id, Modality.T1).astype(np.float32))
    inverted = torch.where(slices > -1, (-slices).clamp(-0.99, 1), slices)
    assert profiles[Modality.T1].distance(inverted) > UNUSUAL


def test_only_modalities_that_cases_have_get_a_profile(prepared_tiny_cohort: PreparedCohort) -> None:
    case = prepared_tiny_cohort.cases(Split.TRAIN)[0]
    only_t2 = replace(case, windows={Modality.T2: case.windows[Modality.T2]})
    assert set(intensity_profiles(prepared_tiny_cohort.store, [only_t2])) == {Modality.T2}


def test_spread_of_the_training_images_is_measured() -> None:
    profile = IntensityProfile((0.0,) * len(LEVELS), (0.5,) * len(LEVELS))
    assert profile.distance(torch.full((1, 2, 2), 0.25)) == pytest.approx(0.5)
    assert profile.distance(torch.full((1, 2, 2), 1.0)) == pytest.approx(2)


def test_profiles_survive_the_way_through_plain_data(profiles: dict[Modality, IntensityProfile]) -> None:
    assert profiles_from_data(profiles_as_data(profiles)) == profiles
    with pytest.raises(ValueError, match="intensity profile of t1 has not"):
        profiles_from_data({"t1": [[0.0], [1.0]]})
