"""Training samples depend on seed and number alone, and never pair two modalities of a patient."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandAdjustContrastd, RandBiasFieldd
from torch.utils.data import DataLoader

from tests.random_flip import random_flip
from utad_monai.data import (
    CohortError,
    EpochSampler,
    PreparedCohort,
    Preprocessing,
    SliceStore,
    UnpairedSlices,
    find_cases,
    prepare_slices,
    unpaired,
)
from utad_monai.keys import BatchKey, Modality, Split
from utad_monai.transforms import BACKGROUND, KeepBackgroundd, MaskTumourd, mask_tumour

WriteCase = Callable[..., Path]
DRAWS = 300


@pytest.fixture
def data(prepared_tiny_cohort: PreparedCohort) -> UnpairedSlices:
    return UnpairedSlices(prepared_tiny_cohort.store, prepared_tiny_cohort.cases(Split.TRAIN))


@pytest.fixture(scope="module")
def one_modality_each(
    tmp_path_factory: pytest.TempPathFactory, write_case: WriteCase, tiny_preprocessing: Preprocessing
) -> SliceStore:
    """Give four patients, each with another modality."""
    root = tmp_path_factory.mktemp("unpaired")
    for number, modality in enumerate(Modality):
        write_case(root / "cohort", f"BraTS_{number:03d}", modalities=[modality], seed=number)
    return prepare_slices(find_cases(root / "cohort"), tiny_preprocessing, root / "cache", progress=False)


def make(cohort: PreparedCohort, **options: Any) -> UnpairedSlices:
    return UnpairedSlices(cohort.store, cohort.cases(Split.TRAIN), **options)


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return set(first) == set(second) and all(
        torch.equal(first[key], second[key]) if isinstance(first[key], torch.Tensor) else first[key] == second[key]
        for key in first
    )


def test_sample_is_the_slice_that_it_names(data: UnpairedSlices, prepared_tiny_cohort: PreparedCohort) -> None:
    store = prepared_tiny_cohort.store
    for index in range(20):
        sample = data[index]
        modality = list(Modality)[sample[BatchKey.SOURCE_MODALITY]]
        case_id, place = sample[BatchKey.CASE_ID], sample[BatchKey.SLICE_INDEX]
        image, mask = sample[BatchKey.IMAGE], sample[BatchKey.TUMOUR_MASK]
        assert image.shape == mask.shape == (1, 32, 32)
        assert image.dtype == mask.dtype == torch.float32
        np.testing.assert_array_equal(image[0], store.image(case_id, modality)[place])
        np.testing.assert_array_equal(mask[0], store.labels(case_id)[place] > 0)


def test_background_is_exactly_minus_one(data: UnpairedSlices) -> None:
    for index in range(40):
        image = data[index][BatchKey.IMAGE]
        assert image.min() == BACKGROUND
        assert 0 < (image > BACKGROUND).float().mean() < 1
        assert image[image > BACKGROUND].min() > BACKGROUND + 0.005
        assert image.max() <= 1


def test_no_key_holds_a_second_modality_of_the_patient(data: UnpairedSlices) -> None:
    sample = data[0]
    assert set(sample) == {
        BatchKey.IMAGE,
        BatchKey.TUMOUR_MASK,
        BatchKey.TUMOUR_LABELS,
        BatchKey.SOURCE_MODALITY,
        BatchKey.TARGET_MODALITY,
        BatchKey.CASE_ID,
        BatchKey.SLICE_INDEX,
        BatchKey.MIRRORED,
        BatchKey.BETWEEN,
    }
    pictures = [key for key, value in sample.items() if isinstance(value, torch.Tensor) and value.ndim > 1]
    assert set(pictures) == {BatchKey.IMAGE, BatchKey.TUMOUR_MASK, BatchKey.TUMOUR_LABELS}
    assert sample[BatchKey.IMAGE].shape[0] == 1
    assert set(sample[BatchKey.TUMOUR_MASK].unique().tolist()) <= {0.0, 1.0}


def test_several_sources_are_the_patients_own_and_never_the_target(prepared_tiny_cohort: PreparedCohort) -> None:
    store = prepared_tiny_cohort.store
    data = UnpairedSlices(store, prepared_tiny_cohort.cases("train"), several=True, seed=3)
    modalities, counts = store.preprocessing.modalities, set()
    for sample in (data[number] for number in range(60)):
        source, target = sample[BatchKey.SOURCE_MODALITY], sample[BatchKey.TARGET_MODALITY]
        held = [channel for channel, image in enumerate(sample[BatchKey.IMAGE]) if bool((image > BACKGROUND).any())]
        assert source in held
        assert target not in held or held == [source] == [target]
        counts.add(len(held))
        for channel in held:
            whole = store.image(sample[BatchKey.CASE_ID], modalities[channel])
            np.testing.assert_array_equal(sample[BatchKey.IMAGE][channel], whole[sample[BatchKey.SLICE_INDEX]])
    assert counts == {1, 2, 3}


def test_sample_depends_on_seed_and_number_alone(prepared_tiny_cohort: PreparedCohort) -> None:
    data, again = (make(prepared_tiny_cohort, seed=3, transform=random_flip()) for _ in range(2))
    expected = [data[index] for index in range(8)]
    np.random.seed(1)
    torch.manual_seed(1)
    for index in (5, 7, 0, 5):
        assert same(again[index], expected[index])
    assert same(data[5], expected[5])


def test_another_seed_draws_others(prepared_tiny_cohort: PreparedCohort) -> None:
    first, second = make(prepared_tiny_cohort, seed=0), make(prepared_tiny_cohort, seed=1)
    assert sum(same(first[index], second[index]) for index in range(20)) < 3


def test_numbers_have_no_upper_bound(data: UnpairedSlices) -> None:
    drawn = [data[index] for index in (0, len(data), 10**12)]
    assert not same(drawn[0], drawn[1])
    assert not same(drawn[1], drawn[2])


def test_workers_draw_the_same_as_the_main_process(data: UnpairedSlices) -> None:
    sampler = EpochSampler(data, samples_per_epoch=12)
    batches = list(DataLoader(data, batch_size=4, sampler=sampler, num_workers=2))
    images = torch.cat([batch[BatchKey.IMAGE] for batch in batches])
    assert torch.equal(images, torch.stack([data[index][BatchKey.IMAGE] for index in range(12)]))


def test_batch_has_integer_modalities(data: UnpairedSlices) -> None:
    batch = next(iter(DataLoader(data, batch_size=4, sampler=EpochSampler(data))))
    assert batch[BatchKey.SOURCE_MODALITY].dtype == batch[BatchKey.TARGET_MODALITY].dtype == torch.int64
    assert batch[BatchKey.IMAGE].shape == (4, 1, 32, 32)


def test_every_modality_and_slice_is_drawn_alike(data: UnpairedSlices) -> None:
    samples = [data[index] for index in range(DRAWS)]
    for key in (BatchKey.SOURCE_MODALITY, BatchKey.TARGET_MODALITY):
        counts = Counter(sample[key] for sample in samples)
        assert set(counts) == {0, 1, 2, 3}
        assert min(counts.values()) > 0.15 * DRAWS
    pairs = {(sample[BatchKey.SOURCE_MODALITY], sample[BatchKey.TARGET_MODALITY]) for sample in samples}
    assert len(pairs) == 16
    assert len({sample[BatchKey.CASE_ID] for sample in samples}) == 4
    assert len({sample[BatchKey.SLICE_INDEX] for sample in samples}) == 10


def test_length_is_the_number_of_different_images(data: UnpairedSlices) -> None:
    assert len(data) == 4 * 10 * 4


def test_cohort_of_one_modality_each_yields_all_modalities(one_modality_each: SliceStore) -> None:
    data = UnpairedSlices(one_modality_each, list(one_modality_each.cases.values()))
    assert data.modalities == tuple(Modality)
    samples = [data[index] for index in range(DRAWS)]
    for key in (BatchKey.SOURCE_MODALITY, BatchKey.TARGET_MODALITY):
        assert {sample[key] for sample in samples} == {0, 1, 2, 3}
    for sample in samples:
        assert sample[BatchKey.CASE_ID] == f"BraTS_{sample[BatchKey.SOURCE_MODALITY]:03d}"


def test_targets_are_restricted_to_modalities_that_are_present(one_modality_each: SliceStore) -> None:
    cases = [one_modality_each.cases[name] for name in ("BraTS_001", "BraTS_003")]
    data = UnpairedSlices(one_modality_each, cases)
    assert data.modalities == (Modality.T1, Modality.T2)
    samples = [data[index] for index in range(60)]
    for key in (BatchKey.SOURCE_MODALITY, BatchKey.TARGET_MODALITY):
        assert {sample[key] for sample in samples} == {Modality.T1.channel, Modality.T2.channel}


def test_modality_without_a_usable_slice_is_not_drawn(prepared_tiny_cohort: PreparedCohort) -> None:
    with pytest.raises(CohortError, match="no brain slice with a segmentation"):
        make(prepared_tiny_cohort, min_brain_fraction=0.99)


def test_tumour_fraction_one_draws_only_tumour_slices(prepared_tiny_cohort: PreparedCohort) -> None:
    data = make(prepared_tiny_cohort, tumour_fraction=1)
    assert all(data[index][BatchKey.TUMOUR_MASK].any() for index in range(60))


def test_tumour_fraction_zero_draws_all_brain_slices_alike(prepared_tiny_cohort: PreparedCohort) -> None:
    cases = prepared_tiny_cohort.cases(Split.TRAIN)
    share = np.mean([pixels > 0 for case in cases for pixels in case.tumour_pixels or ()])
    data = make(prepared_tiny_cohort)
    drawn = np.mean([bool(data[index][BatchKey.TUMOUR_MASK].any()) for index in range(DRAWS)])
    assert drawn == pytest.approx(share, abs=0.1)


def test_tumour_fraction_between_lies_between(prepared_tiny_cohort: PreparedCohort) -> None:
    drawn = [
        sum(bool(data[index][BatchKey.TUMOUR_MASK].any()) for index in range(DRAWS))
        for data in (make(prepared_tiny_cohort, tumour_fraction=fraction) for fraction in (0, 0.5, 1))
    ]
    assert drawn[0] + 30 < drawn[1] < drawn[2] - 30


def test_cohort_without_tumour_still_gives_samples(
    tmp_path: Path, write_case: WriteCase, tiny_preprocessing: Preprocessing
) -> None:
    write_case(tmp_path / "cohort", "A_1", tumour=False)
    store = prepare_slices(find_cases(tmp_path / "cohort"), tiny_preprocessing, tmp_path / "cache", progress=False)
    data = UnpairedSlices(store, list(store.cases.values()), tumour_fraction=1)
    assert data[0][BatchKey.TUMOUR_MASK].max() == 0


def test_cases_without_segmentation_are_passed_over(
    tmp_path: Path, write_case: WriteCase, tiny_preprocessing: Preprocessing
) -> None:
    write_case(tmp_path / "cohort", "A_1", modalities=[Modality.T1])
    write_case(tmp_path / "cohort", "B_2", segmentation=False, seed=1)
    store = prepare_slices(find_cases(tmp_path / "cohort"), tiny_preprocessing, tmp_path / "cache", progress=False)
    data = UnpairedSlices(store, list(store.cases.values()))
    assert data.modalities == (Modality.T1,)
    assert {data[index][BatchKey.CASE_ID] for index in range(20)} == {"A_1"}
    with pytest.raises(CohortError, match="no brain slice with a segmentation"):
        UnpairedSlices(store, [store.cases["B_2"]])


def test_slices_with_little_brain_are_not_drawn(prepared_tiny_cohort: PreparedCohort) -> None:
    data = make(prepared_tiny_cohort, min_brain_fraction=0.3)
    assert len(data) < 4 * 10 * 4
    pixels = {case.case_id: case.brain_pixels for case in prepared_tiny_cohort.cases(Split.TRAIN)}
    for index in range(40):
        sample = data[index]
        assert pixels[sample[BatchKey.CASE_ID]][sample[BatchKey.SLICE_INDEX]] >= 0.3 * 32 * 32


def test_slice_without_brain_is_never_drawn(prepared_tiny_cohort: PreparedCohort) -> None:
    (case,) = prepared_tiny_cohort.cases(Split.TEST)
    one_slice = dataclasses.replace(case, brain_pixels=(0,) * 4 + (7,) + (0,) * 5)
    data = UnpairedSlices(prepared_tiny_cohort.store, [one_slice], min_brain_fraction=0)
    assert {data[index][BatchKey.SLICE_INDEX] for index in range(20)} == {4}


def test_half_of_the_samples_are_mirrored_with_their_mask(prepared_tiny_cohort: PreparedCohort) -> None:
    plain, mirrored = make(prepared_tiny_cohort), make(prepared_tiny_cohort, transform=random_flip())
    flips = 0
    for index in range(80):
        original, sample = plain[index], mirrored[index]
        flipped = not torch.equal(sample[BatchKey.IMAGE], original[BatchKey.IMAGE])
        flips += flipped
        assert sample[BatchKey.MIRRORED] is flipped
        for key in (BatchKey.IMAGE, BatchKey.TUMOUR_MASK):
            assert torch.equal(sample[key], original[key].flip(-1) if flipped else original[key])
    assert 20 < flips < 60


def test_sampler_goes_on_across_epochs(data: UnpairedSlices) -> None:
    sampler = EpochSampler(data, samples_per_epoch=5)
    assert len(sampler) == 5
    assert [list(sampler) for _ in range(3)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14]]


def test_sampler_resumes_at_the_epoch_that_is_set(data: UnpairedSlices) -> None:
    sampler = EpochSampler(data, samples_per_epoch=5)
    sampler.epoch = 2
    assert list(sampler) == [10, 11, 12, 13, 14]
    assert sampler.epoch == 3


def test_epoch_is_as_long_as_the_data_by_default(data: UnpairedSlices) -> None:
    assert len(list(EpochSampler(data))) == len(EpochSampler(data)) == len(data)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_an_epoch_without_overlap(
    data: UnpairedSlices, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpaired, "world_size", lambda: processes)
    shares = []
    for number in range(processes):
        monkeypatch.setattr(unpaired, "rank", lambda number=number: number)
        sampler = EpochSampler(data, samples_per_epoch=7)
        epochs = [list(sampler), list(sampler)]
        assert [len(epoch) for epoch in epochs] == [len(sampler)] * 2 == [7 // processes] * 2
        shares.append(epochs)
    for epoch in (0, 1):
        numbers = sorted(number for share in shares for number in share[epoch])
        assert numbers == list(range(7 * epoch, 7 * epoch + processes * (7 // processes)))


def bundle_transform(*augmentation: Any) -> Compose:
    """Return what a training bundle runs on each sample: its augmentation, then what keeps background and tumour."""
    keep = KeepBackgroundd(BatchKey.IMAGE, BatchKey.BRAIN)
    return Compose(
        [
            Compose(list(augmentation)),
            keep,
            MaskTumourd(BatchKey.IMAGE, BatchKey.TUMOUR_MASK, masked_key=BatchKey.TUMOUR_IMAGE),
        ]
    )


def test_what_keeps_the_background_changes_no_bit_of_a_plain_sample(prepared_tiny_cohort: PreparedCohort) -> None:
    plain, kept = make(prepared_tiny_cohort), make(prepared_tiny_cohort, transform=bundle_transform())
    for index in range(20):
        assert torch.equal(plain[index][BatchKey.IMAGE], kept[index][BatchKey.IMAGE])
        assert torch.equal(plain[index][BatchKey.BETWEEN], kept[index][BatchKey.BETWEEN])


def test_tumour_image_is_the_image_inside_the_mask_after_all_changes(prepared_tiny_cohort: PreparedCohort) -> None:
    gamma = RandAdjustContrastd(BatchKey.IMAGE, prob=1.0, gamma=(2.0, 3.0))
    data = make(prepared_tiny_cohort, tumour_fraction=1.0, transform=bundle_transform(random_flip(), gamma))
    for index in range(10):
        sample = data[index]
        expected = mask_tumour(sample[BatchKey.IMAGE], sample[BatchKey.TUMOUR_MASK])
        assert torch.equal(sample[BatchKey.TUMOUR_IMAGE], expected)


@pytest.mark.parametrize(
    "augmentation",
    [RandAdjustContrastd(BatchKey.IMAGE, prob=1.0), RandBiasFieldd(BatchKey.IMAGE, prob=1.0, coeff_range=(0.3, 0.5))],
)
def test_intensity_augmentation_changes_the_brain_alone_and_in_its_range(
    prepared_tiny_cohort: PreparedCohort, augmentation: Any
) -> None:
    plain, data = make(prepared_tiny_cohort), make(prepared_tiny_cohort, transform=bundle_transform(augmentation))
    image, changed = plain[4][BatchKey.IMAGE], data[4][BatchKey.IMAGE]
    brain = image > BACKGROUND
    assert torch.equal(changed > BACKGROUND, brain)
    assert bool((changed[brain] != image[brain]).any())
    assert float(changed.max()) <= 1
    assert torch.equal(data[4][BatchKey.IMAGE], changed)


def test_identity_names_other_random_transforms_and_what_they_are_given(prepared_tiny_cohort: PreparedCohort) -> None:
    plain = make(prepared_tiny_cohort, transform=bundle_transform(random_flip())).identity()
    assert plain["flip"] is True
    assert "random transforms" not in plain
    gammas = [RandAdjustContrastd(BatchKey.IMAGE, prob=0.5, gamma=gamma) for gamma in ((0.5, 1.0), (0.5, 2.0))]
    first, second = (make(prepared_tiny_cohort, transform=bundle_transform(gamma)).identity() for gamma in gammas)
    assert first["flip"] is False
    assert first["random transforms"] != second["random transforms"]
    assert json.loads(json.dumps(first["random transforms"])) == first["random transforms"]
