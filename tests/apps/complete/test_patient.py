"""One patient by named images: completed like a cohort of one, and refused in one line where an image is wrong."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from utad_monai.apps.cli import app, main
from utad_monai.apps.complete import Completion, complete_cohort
from utad_monai.apps.complete.patient import AS_GIVEN, NO_NAME, patient_case, prepare_commands
from utad_monai.apps.complete.preview import MADE
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind
from utad_monai.keys import FOUR_MODALITIES, Modality
from utad_monai.phantom.cohort import write_phantom_cohort

FLAIR, T1, T1CE, T2 = Modality


@pytest.fixture
def images(tmp_path: Path, write_case: Callable[..., Path]) -> dict[Modality, Path]:
    """T1 and FLAIR of a patient, under names that say nothing."""
    case = write_case(tmp_path / "cohort", "P001", [FLAIR, T1], seed=1, segmentation=False)
    given = {T1: tmp_path / "a.nii.gz", FLAIR: tmp_path / "b.nii.gz"}
    for modality, path in given.items():
        shutil.copy(case / f"P001_{modality}.nii.gz", path)
    return given


@pytest.fixture
def complete(
    tmp_path: Path, starter_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, list[str]]]:
    """Run the command and return its exit code, output, and the lines of its errors."""

    def _complete(images: dict[Modality, Path], *options: str) -> tuple[int, str, list[str]]:
        given = [text for modality, path in images.items() for text in (f"--{modality}", str(path))]
        arguments = ["complete", *given, "--output", str(tmp_path / "P001"), "--engine", "torch", *options]
        monkeypatch.setattr(sys, "argv", ["utad-monai", *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        written = capsys.readouterr()
        return code, written.out, [line for line in written.err.splitlines() if line.startswith("error")]

    assert starter_file.is_file()
    return _complete


def test_volumes_are_those_of_a_cohort_of_one(complete: Any, images: dict[Modality, Path], tmp_path: Path) -> None:
    code, output, errors = complete(images)
    assert (code, errors) == (0, [])
    folder = tmp_path / "P001" / "synthetic" / "P001"
    complete_cohort(Completion(tmp_path / "cohort", None, output_dir=tmp_path / "as_cohort", progress=False))
    for target in (T1CE, T2):
        name = f"P001_{target}_synthetic.nii.gz"
        made, expected = (nibabel.load(f / name) for f in (folder, tmp_path / "as_cohort" / "synthetic" / "P001"))
        np.testing.assert_array_equal(made.get_fdata(), expected.get_fdata())
        np.testing.assert_array_equal(made.affine, nibabel.load(images[T1]).affine)
        assert bytes(made.header["descrip"].tobytes()).startswith(b"SYNTHETIC")
        assert str(folder / name) in output
        assert json.loads((folder / name.replace(".nii.gz", ".json")).read_text())["Sources"] == [
            "b.nii.gz",
            "a.nii.gz",
        ]


def test_output_names_the_preview_and_what_not_to_believe(
    complete: Any, images: dict[Modality, Path], tmp_path: Path
) -> None:
    _, output, _ = complete(images)
    preview = tmp_path / "P001" / "synthetic" / "P001" / "P001_preview.png"
    assert f"preview  {preview}" in output
    assert preview.is_file()
    paragraph = output.splitlines()[-1]
    assert "Enhancement is not predicted" in paragraph
    assert "not for clinical use" in paragraph


def test_picture_that_is_gone_is_drawn_again_from_the_volumes_that_are_kept(
    complete: Any, images: dict[Modality, Path], tmp_path: Path
) -> None:
    complete(images)
    folder = tmp_path / "P001" / "synthetic" / "P001"
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    (folder / "P001_preview.png").unlink()
    complete(images)
    after = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert after.pop("P001_preview.png")[0] == before.pop("P001_preview.png")[0]
    assert after == before


def test_phantom_patient_is_completed_by_the_packaged_weights_and_the_preview_shows_it(tmp_path: Path) -> None:
    cohort = write_phantom_cohort(tmp_path / "phantom", 1, 3, 2.0)
    (t1,) = cohort.glob("*/*_t1.nii.gz")
    options = ["--t1", str(t1), "--output", str(tmp_path / "out"), "--target", "flair", "--no-flips"]
    ran = CliRunner().invoke(app, ["complete", *options, "--engine", "torch"])
    assert ran.exit_code == 0, ran.output
    assert "Small oedema is often missed" in ran.output
    picture = np.asarray(Image.open(tmp_path / "out" / "synthetic" / "out" / "out_preview.png").convert("RGB"))
    orange = tuple(int(MADE[place : place + 2], 16) for place in (1, 3, 5))
    marked = np.abs(picture.astype(int) - orange).sum(axis=2) < 30
    half = picture.shape[1] // 2
    assert marked[:, half:].sum() > 500
    assert not marked[:, : half - 8].any()
    assert picture[60:, :half].std() > 20
    assert picture[60:, half:].std() > 20


def test_calibration_of_what_the_patient_lacks_is_the_packaged_average(
    complete: Any, images: dict[Modality, Path], tmp_path: Path
) -> None:
    complete(images)
    said = json.loads((tmp_path / "P001" / "synthetic" / "P001" / "P001_t2_synthetic.json").read_text())
    assert said["Settings"]["calibration"]["typical"] is True
    assert said["Settings"]["calibration"]["patients"] == 16
    assert any("no t2 image to take intensities from" in warning for warning in said["Warnings"])


def refused(complete: Any, images: dict[Modality, Path], tmp_path: Path, *options: str) -> str:
    code, _, errors = complete(images, *options)
    assert code == 1
    assert len(errors) == 1
    assert not (tmp_path / "P001" / "synthetic").exists()
    return str(errors[0])


def test_missing_file_is_named(complete: Any, images: dict[Modality, Path], tmp_path: Path) -> None:
    images[T1] = tmp_path / "nowhere.nii.gz"
    assert f"{images[T1]}: no such file" in refused(complete, images, tmp_path)


def test_file_that_is_given_twice_is_refused(complete: Any, images: dict[Modality, Path], tmp_path: Path) -> None:
    images[FLAIR] = images[T1]
    assert "is given as flair and as t1" in refused(complete, images, tmp_path)


def test_copy_under_another_name_is_refused(complete: Any, images: dict[Modality, Path], tmp_path: Path) -> None:
    shutil.copy(images[T1], images[FLAIR])
    assert "a duplicate" in refused(complete, images, tmp_path)


def test_unreadable_file_is_refused(complete: Any, images: dict[Modality, Path], tmp_path: Path) -> None:
    images[T1].write_bytes(b"broken")
    assert "a.nii.gz" in refused(complete, images, tmp_path)


def test_file_of_several_volumes_is_refused(complete: Any, images: dict[Modality, Path], tmp_path: Path) -> None:
    image = nibabel.load(images[T1])
    nibabel.save(nibabel.Nifti1Image(np.stack([image.get_fdata()] * 2, axis=3), image.affine), images[T1])
    assert "a.nii.gz" in refused(complete, images, tmp_path)


def test_another_grid_names_prepare(
    complete: Any, images: dict[Modality, Path], tmp_path: Path, write_case: Callable[..., Path]
) -> None:
    other = write_case(tmp_path / "other", "x", [FLAIR], shape=(26, 20, 12), segmentation=False)
    images[FLAIR] = other / "x_flair.nii.gz"
    assert "utad-monai prepare raw prepared" in refused(complete, images, tmp_path)


def test_head_with_its_skull_names_prepare(complete: Any, images: dict[Modality, Path], tmp_path: Path) -> None:
    image = nibabel.load(images[T1])
    voxels = np.asarray(image.dataobj).copy()
    voxels[voxels == 0] = 30
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), images[T1])
    assert "utad-monai prepare raw prepared" in refused(complete, images, tmp_path)


def test_folder_of_dicom_names_prepare(complete: Any, images: dict[Modality, Path], tmp_path: Path) -> None:
    images[T1] = tmp_path / "series"
    images[T1].mkdir()
    line = refused(complete, images, tmp_path)
    assert "is no NIfTI file" in line
    assert f"cp -r {images[T1]} raw/P001/t1" in line


def test_commands_of_the_error_bring_the_images_to_prepare(
    images: dict[Modality, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images[T1] = images[T1].rename(tmp_path / "my image.nii.gz")
    commands = prepare_commands(patient_case(images, tmp_path / "P 1", FOUR_MODALITIES))
    *copies, prepare, _ = commands.split(" && ")
    subprocess.run(" && ".join(copies), shell=True, check=True, cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, [*shlex.split(prepare)[1:], "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "P 1" in shown.output
    assert "t1.nii.gz" in shown.output
    assert "flair.nii.gz" in shown.output


def test_image_that_looks_like_another_is_refused_unless_it_is_as_given(
    complete: Any, images: dict[Modality, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Finding.warning(FindingKind.MODALITY_MIX_UP, "P001", images[T1], "looks like a t2")
    monkeypatch.setattr("utad_monai.apps.complete.patient.mix_up_warnings", lambda *_: [found])
    assert refused(complete, images, tmp_path).endswith(f"a.nii.gz: looks like a t2; {AS_GIVEN}")
    assert complete(images, "--as-given")[0] == 0


def test_name_of_another_modality_is_refused(complete: Any, images: dict[Modality, Path], tmp_path: Path) -> None:
    images[T1] = images[T1].rename(tmp_path / "P001_t2.nii.gz")
    assert AS_GIVEN in refused(complete, images, tmp_path)


def test_cohort_and_images_at_once_are_a_usage_error(images: dict[Modality, Path], tmp_path: Path) -> None:
    both = ["complete", str(tmp_path / "cohort"), "--t1", str(images[T1]), "--output", str(tmp_path / "out")]
    for arguments in (both, ["complete", "--output", str(tmp_path / "out")]):
        ran = CliRunner().invoke(app, arguments)
        assert ran.exit_code == 2
        assert "give a COHORT" in ran.output


def test_all_four_images_leave_nothing_to_make(tmp_path: Path, write_case: Callable[..., Path]) -> None:
    case = write_case(tmp_path / "cohort", "x")
    with pytest.raises(CohortError, match="nothing is missing"):
        patient_case({m: case / f"x_{m}.nii.gz" for m in Modality}, tmp_path / "out", FOUR_MODALITIES)


def test_patient_is_called_as_the_output_folder(images: dict[Modality, Path], tmp_path: Path) -> None:
    assert patient_case(images, tmp_path / "P007", FOUR_MODALITIES).case_id == "P007"
    assert patient_case(images, tmp_path / ".hidden", FOUR_MODALITIES).case_id == NO_NAME
    with pytest.raises(CohortError, match="lies in the output folder"):
        patient_case(images, tmp_path, FOUR_MODALITIES)
