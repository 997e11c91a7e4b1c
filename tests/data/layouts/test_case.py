"""Layouts describe themselves, and know what they write."""

from __future__ import annotations

from pathlib import Path

import pytest

from utad_monai.data import BIDS, BRATS_2017_TO_2021, BRATS_2023, LAYOUTS, MSD_TASK01, TABLE, Case, Layout
from utad_monai.keys import Modality, TumourLabel

FOREGROUND = set(TumourLabel) - {TumourLabel.BACKGROUND}


@pytest.mark.parametrize("layout", [one for one in LAYOUTS if one.label_set], ids=lambda layout: layout.name)
def test_every_layout_reads_and_writes_every_label(layout: Layout) -> None:
    assert set(layout.labels.values()) == FOREGROUND
    assert set(layout.stored_labels) == FOREGROUND
    assert all(layout.labels[value] is label for label, value in layout.stored_labels.items())


@pytest.mark.parametrize(("layout", "written"), [(BRATS_2017_TO_2021, 4), (BRATS_2023, 3), (MSD_TASK01, 3)])
def test_enhancing_tumour_is_written_as_the_layout_has_it(layout: Layout, written: int) -> None:
    assert layout.enhancing_label == written


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_names_every_modality_in_order(layout: Layout) -> None:
    assert list(layout.names) == list(Modality)
    assert layout.channels == {} or list(layout.channels) == list(Modality)


def test_a_description_holds_both_mappings() -> None:
    assert MSD_TASK01.description == (
        "MSD Task01 (4-D, channels flair 0, t1 1, t1ce 2, t2 3; labels 1 oedema, 2 necrotic, 3 enhancing)"
    )
    assert BRATS_2023.description == (
        "BraTS 2023 and later (flair t2f, t1 t1n, t1ce t1c, t2 t2w; labels 1 necrotic, 2 oedema, 3 enhancing)"
    )
    assert TABLE.description.endswith("labels as each cohort has them)")
    assert BIDS.described(MSD_TASK01.label_set).endswith("labels 1 oedema, 2 necrotic, 3 enhancing)")


def test_a_shared_file_is_listed_once() -> None:
    case = Case(
        "a", "a", images=dict.fromkeys(Modality, Path("a.nii")), segmentation=Path("seg.nii"), layout=MSD_TASK01
    )
    assert case.files == (Path("a.nii"), Path("seg.nii"))
    assert [case.channel(modality) for modality in Modality] == [0, 1, 2, 3]


def test_a_file_of_its_own_has_no_channel() -> None:
    assert (
        Case("a", "a", images={Modality.T1: Path("a.nii")}, segmentation=None, layout=BRATS_2023).channel(Modality.T1)
        is None
    )
