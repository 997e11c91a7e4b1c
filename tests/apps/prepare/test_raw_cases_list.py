"""A table names the images of each case, inside its own folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.command import describe_raw_cases
from utad_monai.apps.prepare.raw_cases import read_raw_list
from utad_monai.apps.prepare.raw_images import RawFormat
from utad_monai.data.layouts.case import LINKS_VARIABLE
from utad_monai.data.quality.finding import CohortError
from utad_monai.data.sequences import RawRole
from utad_monai.runtime.files import write_json

Scanner = dict[str, Callable[..., Any]]
HEADER = "case,flair,t1,t1ce,t2,seg,brain_mask\n"


@pytest.fixture
def folder(tmp_path: Path, scanner: Scanner) -> Path:
    """Give a folder with a file, a DICOM folder of one series and one of two."""
    volume = sitk.GaussianSource(sitk.sitkFloat32, [8, 7, 5], [3, 3, 3], [4, 3, 2], 100)
    sitk.WriteImage(volume, str(tmp_path / "x.nrrd"))
    scanner["write_dicom"](tmp_path / "one", volume, "anything", 1)
    scanner["write_dicom"](tmp_path / "two", volume, "anything", 1)
    scanner["write_dicom"](tmp_path / "two", volume, "anything", 2)
    return tmp_path


def table(folder: Path, text: str) -> Path:
    (folder / "cases.csv").write_text(text, encoding="utf-8-sig")
    return folder / "cases.csv"


def test_files_folders_and_single_slices_are_images(folder: Path) -> None:
    slice_of_two = sorted(path.name for path in (folder / "two").iterdir() if path.name.endswith("_2"))[0]
    (case,) = read_raw_list(table(folder, f"{HEADER}p1,x.nrrd,one,two/{slice_of_two},,,\n"))
    assert case.problems == ()
    assert case.case_id == "p1"
    assert {role: source.format for role, source in case.sources.items()} == {
        RawRole.FLAIR: RawFormat.NRRD,
        RawRole.T1: RawFormat.DICOM,
        RawRole.T1CE: RawFormat.DICOM,
    }
    series = case.sources[RawRole.T1CE].series
    assert series is not None
    assert series.number == "2"


def test_a_folder_with_two_series_is_ambiguous(folder: Path) -> None:
    (case,) = read_raw_list(table(folder, f"{HEADER}p1,,two,,,,\n"))
    assert "holds 2 DICOM series (1, 2)" in str(case.problems[0])
    assert "name one file" in case.problems[0].remedy


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("../elsewhere/x.nrrd", "outside the table's folder"),
        ("/etc/hostname", "outside the table's folder"),
        ("missing.nrrd", "does not exist"),
        ("cases.csv", "is no DICOM, NIfTI"),
    ],
)
def test_cells_that_are_no_image_are_problems_of_their_case(folder: Path, cell: str, reason: str) -> None:
    bad, good = read_raw_list(table(folder, f"{HEADER}p1,,{cell},,,,\np2,x.nrrd,,,,,\n"))
    assert reason in str(bad.problems[0])
    assert bad.problems[0].case_id == "p1"
    assert good.problems == ()


def test_a_link_to_dicom_files_elsewhere_is_not_followed(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (folder / "one" / next((folder / "one").iterdir()).name).rename(outside / "a")
    (folder / "one" / "link").symlink_to(outside / "a")
    (case,) = read_raw_list(table(folder, f"{HEADER}p1,,one,,,,\n"))
    series = case.sources[RawRole.T1].series
    assert series is not None
    assert len(series.slices) == 4


def test_a_link_in_a_table_leads_where_the_user_allows_it(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (folder / "x.nrrd").rename(outside / "x.nrrd")
    (folder / "x.nrrd").symlink_to(outside / "x.nrrd")
    rows = table(folder, f"{HEADER}p1,,x.nrrd,,,,\n")
    (refused,) = read_raw_list(rows)
    assert LINKS_VARIABLE in str(refused.problems[0])
    monkeypatch.setenv(LINKS_VARIABLE, str(outside))
    assert read_raw_list(rows)[0].problems == ()


def test_an_empty_row_is_a_problem(folder: Path) -> None:
    (case,) = read_raw_list(table(folder, f"{HEADER}p1,,,,,,\n"))
    assert "names no image" in str(case.problems[0])


@pytest.mark.parametrize("text", ["", "case,t1\n", "name,t1\np1,x.nrrd\n", "case,t1,t3\np1,x.nrrd,\n"])
def test_a_table_without_its_columns_or_rows_is_an_error(folder: Path, text: str) -> None:
    with pytest.raises(CohortError, match="write a CSV with the columns case,flair"):
        read_raw_list(table(folder, text))


def test_a_file_that_is_no_text_is_an_error(folder: Path) -> None:
    (folder / "cases.csv").write_bytes(b"\xff\xfe\x00\x01case")
    with pytest.raises(CohortError, match="cannot be read as a table"):
        read_raw_list(folder / "cases.csv")
    with pytest.raises(CohortError, match="cannot be read as a table"):
        read_raw_list(folder / "missing.csv")


def test_what_contradicts_the_table_is_a_doubt_and_the_table_decides(folder: Path, scanner: Scanner) -> None:
    volume = sitk.GaussianSource(sitk.sitkFloat32, [8, 7, 5], [3, 3, 3], [4, 3, 2], 100)
    scanner["write_dicom"](folder / "gd", volume, "anything", 1, **{"0018_0010": "Gadovist"})
    write_json(folder / "x.json", {"EchoTime": 0.1, "RepetitionTime": 9, "InversionTime": 2.5})
    (case,) = read_raw_list(table(folder, f"{HEADER}p1,,gd,,x.nrrd,,\n"))
    assert case.problems == ()
    assert set(case.sources) == {RawRole.T1, RawRole.T2}
    assert case.warnings == (
        "t1: the table says t1, contrast agent Gadovist says t1ce",
        "t2: the table says t2, TE 100 ms, TR 9000 ms, TI 2500 ms says flair",
    )
    assert sum("look at it" in line for line in describe_raw_cases([case])) == 2
