"""DICOM files are grouped by series from their headers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from utad_monai.apps.prepare.dicom import group_series, is_dicom, read_series

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
    assert series.evidence["ContrastBolusAgent"] == "Gadovist"


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


def split_uids(folder: Path, change: Callable[[int, Any], None] | None = None) -> None:
    """Give every slice a SeriesInstanceUID of its own, and change what else is wanted."""
    for number, path in enumerate(sorted(folder.iterdir())):
        one = pydicom.dcmread(path)
        one.SeriesInstanceUID = f"1.2.3.{number + 1}"
        if change:
            change(number, one)
        one.save_as(path)


def test_a_series_with_a_uid_for_each_slice_is_one_series(tmp_path: Path, volume: sitk.Image, scanner: Scanner) -> None:
    scanner["write_dicom"](tmp_path, volume, "T1", 4)
    split_uids(tmp_path)
    scanner["write_dicom"](tmp_path, volume, "T2", 5)
    series, _ = group_series(tmp_path.iterdir())
    assert [(one.description, len(one.slices)) for one in series] == [("T1", 5), ("T2", 5)]
    assert read_series(series[0]).GetSize() == (8, 7, 5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EchoTime", lambda number: 10 + number),
        ("StudyInstanceUID", lambda number: f"1.2.9.{number + 1}"),
        ("SeriesNumber", lambda number: number + 1),
        ("SeriesDescription", lambda number: f"T1 {number}"),
        ("ContrastBolusAgent", lambda number: "Gadovist" if number else ""),
    ],
)
def test_series_that_differ_in_more_than_their_uid_are_not_joined(
    tmp_path: Path, volume: sitk.Image, scanner: Scanner, name: str, value: Callable[[int], Any]
) -> None:
    scanner["write_dicom"](tmp_path, volume, "T1", 4)
    split_uids(tmp_path, lambda number, one: setattr(one, name, value(number)))
    assert len(group_series(tmp_path.iterdir())[0]) > 1


def test_two_copies_of_a_series_are_not_joined(tmp_path: Path, volume: sitk.Image, scanner: Scanner) -> None:
    for uid in (1, 2):
        scanner["write_dicom"](tmp_path, volume, "T1", 4, **{"0020_000e": f"1.2.3.{uid}", "0008_0018": f"1.2.{uid}"})
        for path in tmp_path.glob("IM*_4"):
            path.rename(path.with_name(f"{path.name}_{uid}"))
    assert [len(one.slices) for one in group_series(tmp_path.iterdir())[0]] == [5, 5]


@pytest.mark.parametrize("start", ["without preamble", "without file information", "big-endian"])
@pytest.mark.parametrize("ending", ["", ".dcm"])
def test_files_without_the_mark_are_read(
    tmp_path: Path, volume: sitk.Image, scanner: Scanner, start: str, ending: str
) -> None:
    scanner["write_dicom"](tmp_path, volume, "T2")
    for path in list(tmp_path.iterdir()):
        content = bare(path, start)
        path.unlink()
        path.with_name(path.name + ending).write_bytes(content)
    series, unreadable = group_series(path for path in tmp_path.iterdir() if is_dicom(path))
    assert sum(len(one.slices) for one in series) + len(unreadable) == 5
    if start != "big-endian":
        assert [(one.description, len(one.slices)) for one in series] == [("T2", 5)]


def bare(path: Path, start: str) -> bytes:
    """Return the bytes of a file without what DICOM files begin with."""
    if start == "without preamble":
        return path.read_bytes()[132:]
    one = pydicom.dcmread(path)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = start != "big-endian", start != "big-endian"
    del one.file_meta
    write_dataset(buffer, Dataset(dict(one.items())))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["IM1.dcm", "IM1.DCM", "IM1.IMA"])
def test_what_is_called_dicom_and_is_none_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nonsense")
    assert is_dicom(tmp_path / name)
    assert group_series([tmp_path / name]) == ([], [tmp_path / name])


def test_the_protocol_stands_in_for_a_description_that_says_nothing(
    tmp_path: Path, volume: sitk.Image, scanner: Scanner
) -> None:
    scanner["write_dicom"](tmp_path, volume, "series 7", **{"0018_1030": "AX FLAIR"})
    assert group_series(tmp_path.iterdir())[0][0].description == "AX FLAIR"
