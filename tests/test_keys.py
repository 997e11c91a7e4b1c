"""The words that cross file borders keep their spelling and order: files and networks depend on them."""

from __future__ import annotations

import json
from enum import StrEnum

import pytest

from utad_monai import keys
from utad_monai.keys import BatchKey, LossTerm, Modality, OutputKey, Split, StudentScheme, TumourLabel, TumourRegion

ENUMS = [value for value in vars(keys).values() if isinstance(value, type) and issubclass(value, StrEnum)]


def test_modalities_have_the_one_hot_order() -> None:
    assert [str(modality) for modality in Modality] == ["flair", "t1", "t1ce", "t2"]
    assert [modality.channel for modality in Modality] == [0, 1, 2, 3]


def test_regions_have_the_order_of_the_channels() -> None:
    assert [str(region) for region in TumourRegion] == ["WT", "TC", "ET"]


def test_canonical_labels_are_zero_to_three() -> None:
    labels = (TumourLabel.BACKGROUND, TumourLabel.NECROTIC, TumourLabel.OEDEMA, TumourLabel.ENHANCING)
    assert labels == (0, 1, 2, 3)


def test_splits_and_schemes_have_the_names_of_files_and_options() -> None:
    assert [str(split) for split in Split] == ["train", "validation", "test"]
    assert StudentScheme("complete") is StudentScheme.COMPLETE


@pytest.mark.parametrize("words", ENUMS, ids=lambda words: words.__name__)
def test_words_are_unique_strings_that_survive_json(words: type[StrEnum]) -> None:
    assert len({str(word) for word in words}) == len(words.__members__)
    assert [words(word) for word in json.loads(json.dumps(list(words)))] == list(words)


def test_loss_terms_say_whose_they_are() -> None:
    assert {term.split("/")[0] for term in LossTerm} == {"critic", "generator"}


def test_output_and_batch_keys_do_not_collide() -> None:
    assert not set(BatchKey) & set(OutputKey)
    assert not set(LossTerm) & set(OutputKey)
