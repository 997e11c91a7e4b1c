"""Sidecars lie beside images, and in BIDS also in the folders above them."""

from __future__ import annotations

from pathlib import Path

import pytest

from utad_monai.data.sequences import read_sidecar
from utad_monai.runtime.files import write_json


def nowhere(_: Path) -> bool:
    return False


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".NII.GZ", ".nrrd", ".mha"])
def test_the_sidecar_beside_an_image_is_read(tmp_path: Path, ending: str) -> None:
    write_json(tmp_path / "scan.7.json", {"EchoTime": 0.1})
    assert read_sidecar(tmp_path / f"scan.7{ending}", tmp_path, nowhere) == {"EchoTime": 0.1}


def test_the_nearest_sidecar_wins(tmp_path: Path) -> None:
    anat = tmp_path / "sub-01" / "anat"
    for folder, name, value in (
        (tmp_path, "T1w.json", 1),
        (tmp_path, "acq-postgd_T1w.json", 2),
        (tmp_path, "acq-other_T1w.json", 9),
        (tmp_path, "T2w.json", 9),
        (tmp_path / "sub-01", "sub-01_T1w.json", 3),
    ):
        write_json(folder / name, {"EchoTime": value, f"from{value}": True})
    image = anat / "sub-01_acq-postgd_T1w.nii.gz"
    found = read_sidecar(image, tmp_path, nowhere)
    assert found == {"EchoTime": 3, "from1": True, "from2": True, "from3": True}
    write_json(anat / "sub-01_acq-postgd_T1w.json", {"EchoTime": 4})
    assert read_sidecar(image, tmp_path, nowhere)["EchoTime"] == 4
    assert read_sidecar(image, tmp_path / "sub-01", nowhere).get("from1") is None


@pytest.mark.parametrize("text", ["", "[1]", "{", '"a"', "[" * 100000])
def test_what_is_no_sidecar_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert read_sidecar(tmp_path / "a.nii.gz", tmp_path, nowhere) == {}


def test_a_sidecar_that_must_not_be_read_is_not(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"EchoTime": 0.1})
    assert read_sidecar(tmp_path / "a.nii.gz", tmp_path, lambda _: True) == {}
