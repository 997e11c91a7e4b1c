"""Label sets: names that users say, words of the field, files, and official names of cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from utad_monai.data import CohortError
from utad_monai.data.layouts.label_sets import (
    BRATS_2017_TO_2021_LABELS,
    BRATS_2023_LABELS,
    BRATS_2024_LABELS,
    BRATS_MET_LABELS,
    BRATS_PED_LABELS,
    LABEL_SETS,
    MSD_LABELS,
    LabelMeaning,
    label_set_of,
    label_set_of_name,
    meaning_of_name,
    read_label_set,
    said_label_set,
)
from utad_monai.keys import TumourLabel


@pytest.mark.parametrize("label_set", LABEL_SETS.values(), ids=LABEL_SETS)
def test_cavity_and_cyst_are_never_enhancing_tumour(label_set: Any) -> None:
    for value, word in label_set.words.items():
        assert (label_set.meanings[value] is TumourLabel.ENHANCING) == (word is LabelMeaning.ENHANCING)
    assert LabelMeaning.CAVITY.canonical is TumourLabel.BACKGROUND
    assert LabelMeaning.CYST.canonical is TumourLabel.NECROTIC, "part of the core, as in BraTS-PED"


@pytest.mark.parametrize(
    ("name", "label_set"),
    [
        ("BraTS-PED-00012-000", BRATS_PED_LABELS),
        ("BraTS-MET-00101-000", BRATS_MET_LABELS),
        ("BraTS-GLI-02061-100", BRATS_2024_LABELS),
        ("BraTS-GLI-00005-213", BRATS_2024_LABELS),
        ("BraTS-GLI-00005-000", BRATS_2023_LABELS),
        ("BraTS-GLI-00005-001", BRATS_2023_LABELS),
        ("BraTS-SSA-00002-000", BRATS_2023_LABELS),
        ("BraTS-MEN-00004-001", BRATS_2023_LABELS),
        ("Brats18_CBICA_AAB_1", BRATS_2017_TO_2021_LABELS),
        ("BraTS2021_00002", BRATS_2017_TO_2021_LABELS),
        ("scans/BraTS20_Training_001/BraTS20_Training_001_seg.nii.gz", BRATS_2017_TO_2021_LABELS),
        ("UPENN-GBM-00002_11", BRATS_2017_TO_2021_LABELS),
        ("p1", None),
        ("BRATS_001", None),
        ("not-brats-ped-00012-000", None),
    ],
)
def test_official_names_say_their_set(name: str, label_set: Any) -> None:
    assert label_set_of_name(name) is label_set


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("edema", "oedema"),
        ("peritumoral oedema", "oedema"),
        ("SNFH", "oedema"),
        ("surrounding non-enhancing FLAIR hyperintensity", "oedema"),
        ("non-enhancing tumor", "necrotic"),
        ("nonenhancing", "necrotic"),
        ("NCR", "necrotic"),
        ("NETC", "necrotic"),
        ("ET", "enhancing"),
        ("enhancing tumour", "enhancing"),
        ("resection cavity", "cavity"),
        ("RC", "cavity"),
        ("cystic component", "cyst"),
        ("ignore", "ignore"),
        ("tumour", None),
        ("lesion 1", None),
    ],
)
def test_words_of_the_field_are_understood(name: str, meaning: str | None) -> None:
    assert meaning_of_name(name) == meaning


@pytest.mark.parametrize(
    "content",
    [
        "brats2024",
        {"label_set": "brats2024"},
        {"1": "NETC", "2": "SNFH", "3": "ET", "4": "RC"},
        {"labels": {"0": "background", "1": "necrotic", "2": "edema", "3": "enhancing tumor", "4": "resection cavity"}},
        {"labels": {"background": 0, "necrosis": 1, "edema": 2, "enhancing": 3, "cavity": 4}},
        {"labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing": [3], "cavity": 4}},
    ],
)
def test_one_set_said_in_six_ways(content: Any) -> None:
    assert label_set_of(content, "here").words == BRATS_2024_LABELS.words


def test_a_mapping_of_ones_own_keeps_what_is_ignored() -> None:
    found = label_set_of({"7": "oedema", "9": "enhancing", "11": "ignore"}, "mine.json")
    assert found.meanings == {7: TumourLabel.OEDEMA, 9: TumourLabel.ENHANCING, 11: TumourLabel.BACKGROUND}
    assert label_set_of(json.loads(json.dumps(found.as_data())), "mine.json") == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"label_set": "brats2077"}', "'brats2077' is no label set: known are brats2020"),
        ('{"1": "tumour"}', "label 1 is 'tumour', which is none of necrotic"),
        ('{"edema": 1.5}', "no label value"),
        ("[1, 2]", "it says no label set"),
        ("{}", "it says no label set"),
        ("{", "Expecting"),
    ],
)
def test_a_file_that_says_no_set_is_refused_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "label_set.json"
    path.write_text(text)
    with pytest.raises(CohortError, match=reason) as error:
        read_label_set(path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["value,meaning\n1,oedema\n2,necrotic\n3,enhancing\n", "1,edema\n2,NCR\n3,ET\n"])
def test_a_table_says_a_set(tmp_path: Path, text: str) -> None:
    path = tmp_path / "label_set.csv"
    path.write_text(text)
    assert said_label_set(path) is MSD_LABELS


@pytest.mark.parametrize("text", ["1,edema\n1,NCR\n", "1,edema\nx,NCR\n", "1,edema,more\n"])
def test_a_table_that_says_a_value_twice_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "label_set.csv"
    path.write_text(text)
    with pytest.raises(CohortError, match="each value once"):
        said_label_set(path)


def test_a_word_that_is_no_set_names_those_that_are() -> None:
    with pytest.raises(CohortError, match=r"brats2019: is no label set; name one of brats2020, brats2023"):
        said_label_set("brats2019")
