"""DICOM files are grouped by series from their headers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.dicom import group_series, is_dicom

Scanner = dict[str, Callable[..., Any]]


@pytest.fixture
def volume() -> sitk.Image:
    """Give a small volume."""
    image = sitk.GaussianSource(sitk.sitkFloat32, [8, 7, 5], [3, 3, 3], [4, 3, 2], 100)
    image.SetSpacing([1.5, 2.0, 3.0])
    return image


def test_two_series_in_one_folder_are_told_apart(tmp_path: Path, volume: sitk.Image, scanner: Scanner) -> None:
    scanner["write_dicom"](tmp_path, volume, "T1", 2)
    scanner["write_dicom"](tmp_path, volume, "T2", 11)
    series, unreadable = group_series(tmp_path.iterdir())
    assert [(one.number, one.description, len(one.slices)) for one in series] == [("2", "T1", 5), ("11", "T2", 5)]
    assert series[0].kind == "MR"
    assert unreadable == []
    first = series[0].slices[0]
    assert first.size == (8, 7)
    assert first.pixel_mm == pytest.approx((1.5, 2.0))


def test_the_protocol_stands_in_for_a_missing_description(tmp_path: Path, volume: sitk.Image, scanner: Scanner) -> None:
    scanner["write_dicom"](tmp_path, volume, "", **{"0018_1030": "AX FLAIR", "0018_0010": "Gadovist"})
    (series,), _ = group_series(tmp_path.iterdir())
    assert series.description == "AX FLAIR"
    assert series.contrast_agent


def test_how_a_series_was_acquired_is_told_in_the_words_of_a_bids_sidecar(
    tmp_path: Path, volume: sitk.Image, scanner: Scanner
) -> None:
    tags = {"0008_0070": "Maker", "0018_0087": "3", "0018_0080": "9000", "0018_0081": "2.46", "0018_1314": "nan"}
    scanner["write_dicom"](tmp_path, volume, "FLAIR", **tags)
    (series,), _ = group_series(tmp_path.iterdir())
    expected = {"Manufacturer": "Maker", "MagneticFieldStrength": 3, "RepetitionTime": 9, "EchoTime": 0.00246}
    assert series.acquisition == expected


def test_a_damaged_file_is_named_and_does_not_stop_the_rest(
    tmp_path: Path, volume: sitk.Image, scanner: Scanner
) -> None:
    scanner["write_dicom"](tmp_path, volume, "T1")
    broken = tmp_path / "broken"
    broken.write_bytes(bytes(128) + b"DICM" + b"nonsense")
    assert is_dicom(broken)
    series, unreadable = group_series(tmp_path.iterdir())
    assert unreadable == [broken]
    assert len(series) == 1


def test_only_marked_files_are_dicom(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x" * 400)
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert not any(is_dicom(path) for path in tmp_path.iterdir())
    assert not is_dicom(tmp_path / "missing")
