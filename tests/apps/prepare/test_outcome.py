"""One case ends in its files or in its reasons; both leave the folder as it should be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare import outcome
from utad_monai.apps.prepare.case_files import case_folder, forget_case, is_finished, read_report, transform_file
from utad_monai.apps.prepare.geometry import compose, inverse, matrix_of
from utad_monai.apps.prepare.outcome import Outcome, PreparationStatus, prepare_and_write
from utad_monai.apps.prepare.raw_cases import RawCase, find_raw_cases
from utad_monai.apps.prepare.report import fingerprint
from utad_monai.apps.prepare.settings import BrainMaskMethod, GridKind, PreparationSettings
from utad_monai.data import find_cases
from utad_monai.data.quality.finding import Finding
from utad_monai.keys import Modality
from utad_monai.transforms import read_nifti

SETTINGS = PreparationSettings(grid=GridKind.REFERENCE, brain_mask=BrainMaskMethod.OTSU)


@pytest.fixture(scope="module")
def raw_dir(tmp_path_factory: pytest.TempPathFactory, raw_head: Any, scanner: Any) -> Path:
    """Give a folder with one raw case of four formats; do not write into it."""
    root = tmp_path_factory.mktemp("raw")
    scanner["write_raw_case"](root, "P1", raw_head)
    return root


@pytest.fixture(scope="module")
def done(raw_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """Give the output folder of the case and its outcome; do not write into it."""
    output = tmp_path_factory.mktemp("out")
    return output, prepare_and_write(the_case(raw_dir), output, SETTINGS)


def the_case(raw_dir: Path) -> RawCase:
    (case,) = find_raw_cases(raw_dir)
    return case


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_cohort_is_one_that_the_program_reads(done: tuple[Path, Outcome]) -> None:
    output, result = done
    assert result.status is PreparationStatus.DONE
    (case,) = find_cases(output)
    assert (case.case_id, tuple(case.images), case.missing) == ("P1", tuple(Modality), ())
    assert case.segmentation is not None
    assert all(read_nifti(path).warnings == () for path in case.files)


def test_saved_transforms_align_the_raw_images(done: tuple[Path, Outcome], raw_head: Any) -> None:
    output, _ = done
    matrices = {m: matrix_of(sitk.ReadTransform(str(transform_file(output, "P1", m)))) for m in Modality}
    for modality in Modality:
        found = compose(matrices[modality], inverse(matrices[Modality.T1CE]))
        assert raw_head.error_mm(found, Modality.T1CE, modality).max() < 4.0, "mm: one voxel"


def test_the_report_says_what_was_done(done: tuple[Path, Outcome]) -> None:
    report = read_report(done[0], "P1")
    assert report is not None
    assert report == done[1].report
    assert report["reference"] == "t1ce"
    assert report["images"]["t1ce"]["registration"] is None
    assert report["images"]["t1"]["format"] == "DICOM"
    assert report["images"]["t1"]["files"] == 52
    assert report["images"]["t2"]["registration"]["rotation_degrees"] > 1
    assert report["brain_mask"]["rough"] is True
    assert any("ROUGH" in warning for warning in report["warnings"])
    sidecar = json.loads((done[0] / "P1" / "P1_t1.json").read_text())
    assert sidecar["BrainMaskQuality"] == "ROUGH"
    assert "ROUGH" in str(read_nifti(done[0] / "P1" / "P1_t1.nii.gz").header["descrip"])


def test_nothing_of_the_patient_is_written(done: tuple[Path, Outcome]) -> None:
    import gzip

    for name, data in content(done[0]).items():
        plain = gzip.decompress(data) if name.endswith(".gz") else data
        for secret in (b"Secret", b"SECRET", b"19501231", b"20200102"):
            assert secret not in plain, name


def test_a_rerun_reuses_the_case_and_changes_no_byte(done: tuple[Path, Outcome], raw_dir: Path) -> None:
    output, first = done
    before = content(output)
    again = prepare_and_write(the_case(raw_dir), output, SETTINGS)
    assert again.reused
    assert again.row() == first.row()
    assert content(output) == before


def test_a_fresh_run_gives_the_same_bytes(done: tuple[Path, Outcome], raw_dir: Path, tmp_path: Path) -> None:
    prepare_and_write(the_case(raw_dir), tmp_path, SETTINGS)
    assert content(tmp_path) == content(done[0])


def test_other_settings_other_bytes_or_damage_make_a_case_anew(
    done: tuple[Path, Outcome], raw_dir: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    shutil.copytree(done[0], output)
    digest = fingerprint(the_case(raw_dir), SETTINGS)
    assert is_finished(output, "P1", digest)
    assert digest != fingerprint(the_case(raw_dir), PreparationSettings())
    changed = tmp_path / "raw"
    shutil.copytree(raw_dir, changed)
    with (changed / "P1" / "ax_T2w.mha").open("ab") as file:
        file.write(b"x")
    assert digest != fingerprint(the_case(changed), SETTINGS)
    (output / "P1" / "P1_t1.nii.gz").write_bytes(b"damaged")
    assert not is_finished(output, "P1", digest)
    (output / "P1" / "P1_t1.nii.gz").unlink()
    assert not is_finished(output, "P1", digest)


def test_what_auto_finds_on_this_machine_is_part_of_the_fingerprint(
    raw_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(the_case(raw_dir), PreparationSettings())
    monkeypatch.setattr("utad_monai.apps.prepare.brain_mask.installed_command", lambda _: "/bin/hd-bet")
    assert fingerprint(the_case(raw_dir), PreparationSettings()) != before


def test_a_refused_case_leaves_nothing_of_an_earlier_run(
    done: tuple[Path, Outcome], raw_dir: Path, tmp_path: Path
) -> None:
    output, raw = tmp_path / "out", tmp_path / "raw"
    shutil.copytree(done[0], output)
    shutil.copytree(raw_dir, raw)
    (output / "P1" / "notes.txt").write_text("the user's own")
    (raw / "P1" / "ax_T2w.mha").write_bytes(b"damaged")
    result = prepare_and_write(the_case(raw), output, SETTINGS)
    assert result.status is PreparationStatus.REFUSED
    assert "ax_T2w.mha" in result.row()["reason"]
    assert [path.name for path in output.rglob("*") if path.is_file()] == ["notes.txt"]


def test_problems_of_the_search_refuse_a_case_without_reading_it(tmp_path: Path) -> None:
    problem = Finding.error("../x", tmp_path, "has a bad name", "rename it")
    result = prepare_and_write(RawCase("../x", tmp_path, sources={}, problems=(problem,)), tmp_path / "out", SETTINGS)
    assert result.problems == (problem,)
    assert result.warnings == ()


def test_a_refused_name_that_is_no_folder_of_its_own_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "preparation").mkdir()
    (tmp_path / "report.json").write_text("the user's own")
    problem = Finding.error("..", tmp_path, "has a bad name", "rename it")
    prepare_and_write(RawCase("..", tmp_path, sources={}, problems=(problem,)), tmp_path, SETTINGS)
    assert (tmp_path / "report.json").read_text() == "the user's own"


@pytest.mark.parametrize("verbose", ["", "1"])
def test_an_unexpected_error_refuses_the_case_in_one_line(
    raw_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, verbose: str
) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError("first line\nlast line")

    monkeypatch.setattr(outcome, "prepare_case", fail)
    monkeypatch.setenv("UTAD_MONAI_TRACEBACK", verbose)
    result = prepare_and_write(the_case(raw_dir), tmp_path, SETTINGS)
    assert "failed unexpectedly (MemoryError: last line)" in str(result.problems[0])
    assert ("Traceback" in caplog.text) == bool(verbose)


def test_a_refusal_of_a_step_names_the_case(raw_dir: Path, tmp_path: Path) -> None:
    settings = PreparationSettings(grid=GridKind.REFERENCE, brain_mask=BrainMaskMethod.GIVEN)
    result = prepare_and_write(the_case(raw_dir), tmp_path, settings)
    assert str(result.problems[0]).startswith("case P1:")
    assert "no brain mask is given" in str(result.problems[0])


def test_a_link_to_nothing_refuses_the_case_by_name(tmp_path: Path) -> None:
    (tmp_path / "raw" / "c").mkdir(parents=True)
    (tmp_path / "raw" / "c" / "t1.nii.gz").symlink_to(tmp_path / "raw" / "c" / "gone.nii.gz")
    result = prepare_and_write(the_case(tmp_path / "raw"), tmp_path / "out", SETTINGS)
    assert "symbolic link to a file that is missing" in str(result.problems[0])


def test_a_report_cannot_remove_files_outside(tmp_path: Path) -> None:
    outside = tmp_path / "keep.txt"
    outside.write_text("x")
    folder = case_folder(tmp_path / "out", "c")
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({"outputs": {"../keep.txt": "x"}}))
    forget_case(tmp_path / "out", "c")
    assert outside.is_file()
    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_report_is_no_report(tmp_path: Path, text: str) -> None:
    case_folder(tmp_path, "c").mkdir(parents=True)
    (case_folder(tmp_path, "c") / "report.json").write_text(text)
    assert read_report(tmp_path, "c") is None
    assert not is_finished(tmp_path, "c", "x")


def test_affines_are_those_of_the_reference(done: tuple[Path, Outcome], raw_head: Any) -> None:
    from utad_monai.apps.prepare.geometry import affine_of

    found = read_nifti(done[0] / "P1" / "P1_flair.nii.gz").affine
    np.testing.assert_allclose(found, affine_of(raw_head.images[Modality.T1CE]), atol=1e-4)
