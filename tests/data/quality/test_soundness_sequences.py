"""What a table says of an image decides; what contradicts it is a warning that shows both."""

from __future__ import annotations

from pathlib import Path

from utad_monai.data.layouts import BRATS_2023, TABLE, Case, Layout
from utad_monai.data.quality.soundness import case_warnings
from utad_monai.keys import Modality
from utad_monai.runtime.files import write_json


def texts(folder: Path, name: str, layout: Layout) -> list[str]:
    case = Case("p1", "p1", images={Modality.T1: folder / f"{name}.nii.gz"}, segmentation=None, layout=layout)
    return [warning.text for warning in case_warnings(case, {})]


def test_an_image_of_another_sequence_than_its_column_is_a_warning(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ContrastBolusAgent": "Dotarem"})
    assert texts(tmp_path, "a", TABLE) == ["the table says t1, contrast agent Dotarem says t1ce"]
    assert texts(tmp_path, "p1_t1ce", TABLE) == ["the table says t1, its name says t1ce"]


def test_agreement_and_silence_are_none(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ContrastBolusAgent": "NONE", "Modality": "MR"})
    assert [*texts(tmp_path, "a", TABLE), *texts(tmp_path, "t1", TABLE), *texts(tmp_path, "b", TABLE)] == []


def test_layouts_whose_names_say_it_were_asked_before(tmp_path: Path) -> None:
    assert texts(tmp_path, "p1_t1ce", BRATS_2023) == []
