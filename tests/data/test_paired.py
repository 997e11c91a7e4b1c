"""Pairs of a cohort: only where they are asked for, only of patients who have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from tests.random_flip import random_flip
from utad_monai.data import (
    PairedSlices,
    PreparedCohort,
    Preprocessing,
    SliceStore,
    UnpairedSlices,
    find_cases,
    prepare_slices,
    training_slices,
)
from utad_monai.engines.batch import prepare_translation_batch
from utad_monai.keys import BatchKey, Modality, Split
from utad_monai.transforms import BACKGROUND

WriteCase = Callable[..., Path]


@pytest.fixture(scope="module")
def some_have_pairs(
    tmp_path_factory: pytest.TempPathFactory, write_case: WriteCase, tiny_preprocessing: Preprocessing
) -> SliceStore:
    """Give two patients with three modalities each, and two with a single one."""
    root = tmp_path_factory.mktemp("paired")
    several = [Modality.FLAIR, Modality.T1, Modality.T2]
    for number, modalities in enumerate([several, several, [Modality.T1], [Modality.T1CE]]):
        write_case(root / "cohort", f"BraTS_{number:03d}", modalities=modalities, seed=number)
    return prepare_slices(find_cases(root / "cohort"), tiny_preprocessing, root / "cache", progress=False)


def paired(store: SliceStore, **options: Any) -> PairedSlices:
    return PairedSlices(store, list(store.cases.values()), **options)


def true_slice(store: SliceStore, sample: dict[str, Any], modality: Modality) -> np.ndarray[Any, Any]:
    return store.image(sample[BatchKey.CASE_ID], modality)[sample[BatchKey.SLICE_INDEX]].astype(np.float32)


def target_of(store: SliceStore, sample: dict[str, Any]) -> Modality:
    return store.preprocessing.modalities[sample[BatchKey.TARGET_MODALITY]]


def test_target_is_the_true_slice_of_the_patient(some_have_pairs: SliceStore) -> None:
    samples = [paired(some_have_pairs)[index] for index in range(60)]
    for sample in samples:
        if sample[BatchKey.PAIRED]:
            expected = true_slice(some_have_pairs, sample, target_of(some_have_pairs, sample))
            np.testing.assert_array_equal(sample[BatchKey.TARGET_IMAGE][0], expected)
            assert sample[BatchKey.TARGET_MODALITY] != sample[BatchKey.SOURCE_MODALITY]
    assert {sample[BatchKey.PAIRED] for sample in samples} == {True, False}


def test_patients_with_one_modality_are_never_paired(some_have_pairs: SliceStore) -> None:
    for index in range(60):
        sample = paired(some_have_pairs)[index]
        assert sample[BatchKey.PAIRED] == (sample[BatchKey.CASE_ID] in ("BraTS_000", "BraTS_001"))


def test_pairs_of_so_many_patients_count(some_have_pairs: SliceStore) -> None:
    one = paired(some_have_pairs, pair_patients=1, seed=3)
    assert len(one.pair_patients) == 1
    assert len(paired(some_have_pairs).pair_patients) == 2
    seen = {one[index][BatchKey.CASE_ID] for index in range(60) if one[index][BatchKey.PAIRED]}
    assert len(seen) == 1


def test_several_sources_never_hold_the_target(some_have_pairs: SliceStore) -> None:
    counts = set()
    for index in range(60):
        sample = paired(some_have_pairs, several=True)[index]
        image = sample[BatchKey.IMAGE]
        given = [modality for modality in Modality if bool((image[modality.channel] > BACKGROUND).any())]
        counts.add(len(given))
        if sample[BatchKey.PAIRED]:
            assert target_of(some_have_pairs, sample) not in given
        for modality in given:
            np.testing.assert_array_equal(image[modality.channel], true_slice(some_have_pairs, sample, modality))
    assert counts == {1, 2}


def test_target_is_mirrored_with_its_sources(some_have_pairs: SliceStore) -> None:
    data = paired(some_have_pairs, transform=random_flip(BatchKey.TARGET_IMAGE))
    mirrored = [data[index] for index in range(40) if data[index][BatchKey.MIRRORED] and data[index][BatchKey.PAIRED]]
    assert mirrored
    for sample in mirrored:
        expected = true_slice(some_have_pairs, sample, target_of(some_have_pairs, sample))[..., ::-1]
        np.testing.assert_array_equal(sample[BatchKey.TARGET_IMAGE][0], expected)


def test_never_is_the_unpaired_data_set(prepared_tiny_cohort: PreparedCohort) -> None:
    cases = prepared_tiny_cohort.cases(Split.TRAIN)
    never = training_slices(prepared_tiny_cohort.store, cases, pairs="never", pair_patients=2, several=True, seed=4)
    plain = UnpairedSlices(prepared_tiny_cohort.store, cases, several=True, seed=4)
    assert type(never) is UnpairedSlices
    assert never.identity() == plain.identity()
    assert BatchKey.TARGET_IMAGE not in never[0]
    assert never.pair_patients == frozenset()


def test_batch_holds_the_truth_of_paired_samples_alone(some_have_pairs: SliceStore) -> None:
    data = paired(some_have_pairs, several=True)
    batch = prepare_translation_batch(default_collate([data[index] for index in range(24)]), "cpu")
    assert batch.paired is not None
    assert batch.target_image is not None
    held = batch.truth_or(torch.zeros(24, 1, 32, 32))
    assert torch.equal(held[batch.paired], batch.target_image[batch.paired])
    assert not held[~batch.paired].any()
    sources = batch.image[torch.arange(24), batch.source_modality]
    assert torch.equal(batch.source_image[:, 0], sources)
    assert batch.source_tumour_image.shape == (24, 1, 32, 32)
    part = batch.parts(2)[1]
    assert torch.equal(part.truth_or(torch.zeros(12, 1, 32, 32)), held[12:])
