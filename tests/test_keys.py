"""The words that cross file borders keep their spelling and order: files and networks depend on them."""

from __future__ import annotations

import json
import pickle
from enum import StrEnum

import pytest

from utad_monai import keys
from utad_monai.keys import (
    FOUR_MODALITIES,
    BatchKey,
    LossTerm,
    Modality,
    ModalitySet,
    OutputKey,
    Split,
    StudentScheme,
    TumourLabel,
    TumourRegion,
)

ENUMS = [value for value in vars(keys).values() if isinstance(value, type) and issubclass(value, StrEnum)]


def test_modalities_have_the_one_hot_order() -> None:
    assert [str(modality) for modality in Modality] == ["flair", "t1", "t1ce", "t2"]
    assert [modality.channel for modality in Modality] == [0, 1, 2, 3]


def test_other_modalities_are_equal_to_their_names_and_no_members() -> None:
    other = Modality.named("pd")
    assert (other, f"{other}", json.dumps({other: other}), {"pd": 1}[other]) == ("pd", "pd", '{"pd": "pd"}', 1)
    assert other is Modality.named("pd") is pickle.loads(pickle.dumps(other))
    assert Modality.named("t1ce") is pickle.loads(pickle.dumps(Modality.T1CE)) is Modality.T1CE
    assert other not in list(Modality)
    with pytest.raises(ValueError, match="'pd' is not a valid Modality"):
        Modality("pd")


@pytest.mark.parametrize("name", ["", "PD", "p d", "p/d", "../pd", "1pd", "p_d", "seg", "case", "labels", "p" * 17])
def test_names_that_are_no_file_names_or_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a modality"):
        Modality.named(name)


def test_a_set_keeps_its_order_and_says_where_each_modality_is() -> None:
    modalities = ModalitySet(["t1", "t2", "pd"])
    assert modalities.description() == ["t1", "t2", "pd"] == list(modalities)
    assert [modalities.channel(one) for one in ("pd", Modality.T1)] == [2, 0]
    assert modalities.named("t2") is Modality.T2
    assert pickle.loads(pickle.dumps(modalities)) == modalities != FOUR_MODALITIES
    for ask in (modalities.channel, modalities.named):
        with pytest.raises(ValueError, match="'flair' is not a valid Modality: known are t1, t2, pd"):
            ask("flair")


@pytest.mark.parametrize("names", [[], ["t1"], ["t1", "t1"], [f"m{place}" for place in range(9)]])
def test_a_set_has_two_to_eight_different_modalities(names: list[str]) -> None:
    with pytest.raises(ValueError, match="two to eight different names"):
        ModalitySet(names)


def test_the_four_are_the_default_in_the_order_of_their_channels() -> None:
    assert tuple(Modality) == FOUR_MODALITIES
    assert [FOUR_MODALITIES.channel(modality) for modality in Modality] == [0, 1, 2, 3]


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
