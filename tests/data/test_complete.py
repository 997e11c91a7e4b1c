"""Complete cases give stacked modalities with regions; evaluation sees whole cases as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandFlipd
from monai.utils import set_determinism

from utad_monai.data import (
    CohortError,
    CompleteSlices,
    EvaluationCases,
    PreparedCohort,
    Preprocessing,
    find_cases,
    prepare_slices,
    single_case,
)
from utad_monai.keys import BatchKey, Modality, Split
from utad_monai.transforms import RandDropModalitiesd, present_channels

WriteCase = Callable[..., Path]


@pytest.fixture
def data(prepared_tiny_cohort: PreparedCohort) -> CompleteSlices:
    return CompleteSlices(prepared_tiny_cohort.store, prepared_tiny_cohort.complete_cases(Split.TRAIN))


def test_sample_has_all_modalities_in_order_and_the_regions(
    data: CompleteSlices, prepared_tiny_cohort: PreparedCohort
) -> None:
    store = prepared_tiny_cohort.store
    for index in (0, 5, len(data) - 1):
        sample = data[index]
        case_id, place = sample[BatchKey.CASE_ID], sample[BatchKey.SLICE_INDEX]
        assert sample[BatchKey.IMAGE].dtype == sample[BatchKey.LABEL].dtype == torch.float32
        assert sample[BatchKey.IMAGE].shape == (4, 32, 32)
        for channel, modality in zip(sample[BatchKey.IMAGE], Modality, strict=True):
            np.testing.assert_array_equal(channel.numpy(), store.image(case_id, modality)[place])
        labels = store.labels(case_id)[place]
        np.testing.assert_array_equal(sample[BatchKey.LABEL][0], labels > 0)
        np.testing.assert_array_equal(sample[BatchKey.LABEL][1], (labels == 1) | (labels == 3))
        np.testing.assert_array_equal(sample[BatchKey.LABEL][2], labels == 3)


def dropping(cohort: PreparedCohort, prob: float | None = 0.5) -> CompleteSlices:
    """Give training slices that lack modalities, as the bundle makes them."""
    drop = [] if prob is None else [RandDropModalitiesd("image", prob)]
    transform = Compose([RandFlipd(["image", "label"], prob=0.5, spatial_axis=1), *drop])
    return CompleteSlices(cohort.store, cohort.complete_cases(Split.TRAIN), transform=transform)


def test_dropped_modalities_go_on_where_a_saved_state_stopped(prepared_tiny_cohort: PreparedCohort) -> None:
    data, resumed = dropping(prepared_tiny_cohort), dropping(prepared_tiny_cohort)
    _ = [data[index] for index in range(7)]
    state = data.state_dict()
    wanted = [data[index][BatchKey.IMAGE] for index in range(7, 20)]
    resumed.load_state_dict(state)
    for index, image in zip(range(7, 20), wanted, strict=True):
        assert torch.equal(resumed[index][BatchKey.IMAGE], image)
    assert any(len(present_channels(image)) < 4 for image in wanted)


def test_a_training_with_another_share_of_dropped_modalities_is_another_training(
    prepared_tiny_cohort: PreparedCohort,
) -> None:
    shares = (None, 0.3, 0.5)
    without, some, more = (dropping(prepared_tiny_cohort, share).identity() for share in shares)
    assert "modality_dropout" not in without
    assert (some["modality_dropout"], more["modality_dropout"]) == ([0.3], [0.5])
    _ = (data := dropping(prepared_tiny_cohort))[0]
    assert data.identity() == more


def test_every_slice_of_every_case_comes_once(data: CompleteSlices, prepared_tiny_cohort: PreparedCohort) -> None:
    places = [(data[i][BatchKey.CASE_ID], data[i][BatchKey.SLICE_INDEX]) for i in range(len(data))]
    cases = prepared_tiny_cohort.complete_cases(Split.TRAIN)
    wanted = {
        (case.case_id, place)
        for case in cases
        for place, pixels in enumerate(case.brain_pixels)
        if pixels >= 0.02 * 32 * 32
    }
    assert len(places) == len(wanted) == len(set(places))
    assert set(places) == wanted


@pytest.mark.parametrize(("fraction", "slices"), [(0.0, 10), (0.1, 8), (0.4, 2)])
def test_slices_with_little_brain_are_left_out(
    prepared_tiny_cohort: PreparedCohort, fraction: float, slices: int
) -> None:
    (case,) = prepared_tiny_cohort.complete_cases(Split.TEST)
    data = CompleteSlices(prepared_tiny_cohort.store, [case], min_brain_fraction=fraction)
    assert len(data) == slices
    assert all(case.brain_pixels[place] >= max(1, fraction * 1024) for _, place in data.slices)


def test_slice_without_brain_never_comes(prepared_tiny_cohort: PreparedCohort) -> None:
    (case,) = prepared_tiny_cohort.complete_cases(Split.TEST)
    holed = dataclasses.replace(case, brain_pixels=(case.brain_pixels[0], 0, *case.brain_pixels[2:]))
    data = CompleteSlices(prepared_tiny_cohort.store, [holed], min_brain_fraction=0)
    assert [place for _, place in data.slices] == [0, *range(2, 10)]


def test_transform_sees_the_whole_sample(prepared_tiny_cohort: PreparedCohort) -> None:
    def flip(sample: dict[str, Any]) -> dict[str, Any]:
        return {**sample, BatchKey.IMAGE: sample[BatchKey.IMAGE].flip(-1)}

    cases = prepared_tiny_cohort.complete_cases(Split.TEST)
    plain = CompleteSlices(prepared_tiny_cohort.store, cases)
    flipped = CompleteSlices(prepared_tiny_cohort.store, cases, transform=flip)
    assert torch.equal(flipped[3][BatchKey.IMAGE], plain[3][BatchKey.IMAGE].flip(-1))


def test_channels_are_the_modalities_that_were_asked_for(
    data: CompleteSlices, prepared_tiny_cohort: PreparedCohort
) -> None:
    cases = prepared_tiny_cohort.complete_cases(Split.TRAIN)
    two = CompleteSlices(prepared_tiny_cohort.store, cases, modalities=["t2", "flair"])
    assert torch.equal(two[4][BatchKey.IMAGE], data[4][BatchKey.IMAGE][[3, 0]])


def test_sample_may_be_changed_without_changing_the_store(data: CompleteSlices) -> None:
    before = data[0]
    changed = data[0]
    changed[BatchKey.IMAGE].zero_()
    changed[BatchKey.LABEL].fill_(5)
    for key in (BatchKey.IMAGE, BatchKey.LABEL):
        assert torch.equal(data[0][key], before[key])


def test_evaluation_sees_every_slice_of_every_available_modality(
    tmp_path: Path, write_case: WriteCase, tiny_preprocessing: Preprocessing
) -> None:
    write_case(tmp_path / "cohort", "A_1")
    write_case(tmp_path / "cohort", "B_2", segmentation=False, modalities=[Modality.T1CE], seed=1)
    store = prepare_slices(find_cases(tmp_path / "cohort"), tiny_preprocessing, tmp_path / "cache", progress=False)
    data = EvaluationCases(store, list(store.cases.values()))
    assert len(data) == 2
    complete, partial = data[0], data[1]
    assert complete[BatchKey.SPACING_MM] == (3.0, 36 / 32, 36 / 32)
    assert (complete[BatchKey.CASE_ID], partial[BatchKey.CASE_ID]) == ("A_1", "B_2")
    assert list(complete[BatchKey.IMAGE]) == list(Modality)
    assert complete[BatchKey.LABEL].shape == (3, 10, 32, 32)
    np.testing.assert_array_equal(complete[BatchKey.LABEL][0], store.labels("A_1") > 0)
    assert list(partial[BatchKey.IMAGE]) == [Modality.T1CE]
    assert partial[BatchKey.LABEL] is None
    for sample in (complete, partial):
        for modality, image in sample[BatchKey.IMAGE].items():
            assert image.dtype == torch.float32
            np.testing.assert_array_equal(image, store.image(sample[BatchKey.CASE_ID], modality))


def test_one_case_is_collated_as_it_is() -> None:
    case = {BatchKey.CASE_ID: "A_1"}
    assert single_case([case]) is case
    with pytest.raises(ValueError, match="too many values"):
        single_case([case, case])


def test_random_transforms_draw_anew_for_every_sample_of_a_seeded_run(prepared_tiny_cohort: PreparedCohort) -> None:
    set_determinism(seed=5)  # with it, the length of a MONAI Compose seeds its transforms again
    try:
        flip = Compose([RandFlipd(BatchKey.IMAGE, prob=0.5, spatial_axis=1)])
        cases = prepared_tiny_cohort.complete_cases(Split.TRAIN)
        flipped = CompleteSlices(prepared_tiny_cohort.store, cases, transform=flip)
        plain = CompleteSlices(prepared_tiny_cohort.store, cases)
        same = [torch.equal(flipped[i][BatchKey.IMAGE], plain[i][BatchKey.IMAGE]) for i in range(len(plain))]
    finally:
        set_determinism(seed=None)
    assert 0.25 < sum(same) / len(same) < 0.75


def test_no_complete_case_is_an_error_and_no_silent_training(prepared_tiny_cohort: PreparedCohort) -> None:
    with pytest.raises(CohortError, match="no case with flair, t1, t1ce, t2 and a segmentation"):
        CompleteSlices(prepared_tiny_cohort.store, [])
    complete = prepared_tiny_cohort.complete_cases(Split.TEST)
    with pytest.raises(CohortError, match="no case with"):
        CompleteSlices(prepared_tiny_cohort.store, complete, min_brain_fraction=0.9)
