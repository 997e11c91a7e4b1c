"""The Python door: files, arrays and MetaTensors in, the same kind out."""

from __future__ import annotations

import doctest
import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage

import utad_monai
from utad_monai import MissingMRI, Translator, translator
from utad_monai.apps.complete import CaseCompleter, CompletionSettings
from utad_monai.data import CohortError, find_cases
from utad_monai.keys import Modality
from utad_monai.transforms import InvalidImageError

FLAIR, T1, T1CE, T2 = Modality
ROOT = Path(__file__).resolve().parents[1]
RAS = np.diag([1.5, 1.5, 3.0, 1.0])


@pytest.fixture(scope="module")
def student(student_file: Path) -> Translator:
    return Translator.from_checkpoint(student_file, device="cpu")


@pytest.fixture
def case_folder(tmp_path: Path, write_case: Callable[..., Any]) -> Path:
    folder: Path = write_case(tmp_path, "case", [FLAIR, T1], seed=5, affine=RAS)
    return folder


def test_file_array_and_metatensor_give_the_same_voxels(student: Translator, case_folder: Path) -> None:
    path = case_folder / "case_t1.nii.gz"
    from_file = student.translate(path, "t1", "t2")
    image = LoadImage(ensure_channel_first=True, image_only=True)(path)
    from_tensor = student.translate(image, "t1", "t2")
    stored = np.asarray(nibabel.load(path).dataobj)
    lps = stored[::-1, ::-1]
    from_array = student.translate(lps, "t1", "t2", spacing_mm=(1.5, 1.5, 3.0))
    assert isinstance(from_file, MetaTensor)
    assert isinstance(from_tensor, MetaTensor)
    assert isinstance(from_array, np.ndarray)
    assert torch.equal(from_file.as_tensor(), from_tensor.as_tensor())
    np.testing.assert_array_equal(from_array[::-1, ::-1], from_file[0].numpy())
    assert from_array.dtype == np.float32


def test_shape_and_affine_are_the_sources(student: Translator, case_folder: Path) -> None:
    image = LoadImage(image_only=True)(case_folder / "case_t1.nii.gz")
    made = student.translate(image, "t1", "flair")
    assert made.shape == image.shape == (24, 20, 12)
    assert isinstance(made, MetaTensor)
    assert torch.equal(made.affine, image.affine)
    assert bool(((made > 0) == (image != 0)).all())


def test_a_whole_case_is_what_the_command_writes(
    student: Translator, case_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(student.volumes.options, uncertainty=True)
    monkeypatch.setattr(student.volumes, "options", options)
    made = student.complete(case_folder)
    (case,) = find_cases(case_folder)
    settings = CompletionSettings(dtype="float32", options=options)
    CaseCompleter(student.volumes, tmp_path / "out", settings=settings).complete(case)
    assert set(made) == {T1CE, T2}
    for modality, completed in made.items():
        written = tmp_path / "out" / "case" / f"case_{modality}_synthetic.nii.gz"
        np.testing.assert_array_equal(completed.image[0], np.asarray(nibabel.load(written).dataobj))
        assert completed.uncertainty is not None
        assert sum(completed.weights.values()) == pytest.approx(1)
    by_case, by_paths = student.complete(case), student.complete({m: str(p) for m, p in case.images.items()})
    for modality in made:
        np.testing.assert_array_equal(by_case[modality].image, made[modality].image)
        np.testing.assert_array_equal(by_paths[modality].image, made[modality].image)


def test_arrays_of_a_case_give_arrays(student: Translator, case_folder: Path) -> None:
    images = {name: np.asarray(nibabel.load(case_folder / f"case_{name}.nii.gz").dataobj) for name in ("flair", "t1")}
    made = student.complete(images, spacing_mm=(1.5, 1.5, 3.0))
    assert all(isinstance(completed.image, np.ndarray) for completed in made.values())
    assert made[T2].image.shape == (24, 20, 12)


def test_unit_intensities_are_in_0_to_1(student_file: Path, case_folder: Path) -> None:
    unit = Translator.from_checkpoint(student_file, device="cpu", intensities="unit")
    made = unit.translate(case_folder / "case_t1.nii.gz", "t1", "t2")
    assert 0 == float(made.min()) < float(made.max()) <= 1
    with pytest.raises(ValueError, match="one case has no cohort"):
        Translator.from_checkpoint(student_file, intensities="cohort")


def test_what_cannot_be_used_is_refused(student: Translator, case_folder: Path, write_case: Callable[..., Any]) -> None:
    with pytest.raises(InvalidImageError, match="no such file"):
        student.translate(case_folder / "none.nii.gz", "t1", "t2")
    with pytest.raises(ValueError, match=r"must be \(X, Y, Z\)"):
        student.translate(np.zeros((4, 4)), "t1", "t2")
    with pytest.raises(ValueError, match="all zero"):
        student.translate(np.zeros((24, 20, 12)), "t1", "t2")
    with pytest.raises(ValueError, match="no source image to make t1 from"):
        student.translate(case_folder / "case_t1.nii.gz", "t1", "t1")
    with pytest.raises(ValueError, match="choose one of flair"):
        student.translate(case_folder / "case_t1.nii.gz", "t1", "t9")
    with pytest.raises(ValueError, match="no background of 0"):
        student.translate(np.random.default_rng(0).uniform(1, 2, (24, 20, 12)), "t1", "t2")
    with pytest.raises(ValueError, match="NaN"):
        student.translate(np.full((24, 20, 12), np.nan), "t1", "t2")
    with pytest.raises(ValueError, match="the t2 image has another shape"):
        student.complete({"t1": np.eye(24)[:, :20, None].repeat(12, 2), "t2": np.eye(24)[:, :, None].repeat(12, 2)})
    with pytest.raises(ValueError, match="there is no image"):
        student.complete({})
    write_case(case_folder.parent, "other")
    with pytest.raises(CohortError, match="holds 2 cases; give the folder of one case"):
        student.complete(case_folder.parent)


def test_unusual_input_is_warned_of(student: Translator, case_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        student.translate(case_folder / "case_t1.nii.gz", "t1", "t2")
    assert "the brain measures" in caplog.text


def test_what_a_real_image_may_be_is_left_out_and_named(
    student: Translator, tmp_path: Path, write_case: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    write_case(tmp_path, "a", [Modality.FLAIR, Modality.T1CE])
    (tmp_path / "a" / "a_T2w.nii.gz").write_bytes(b"a real image")
    assert list(student.complete(tmp_path / "a")) == [Modality.T1]
    assert any("a_T2w.nii.gz" in message for message in caplog.messages)
    assert list(student.complete(tmp_path / "a", ignore_unclaimed=True)) == [Modality.T1, Modality.T2]


@pytest.fixture
def working_folder(
    tmp_path: Path, student_file: Path, write_case: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Give a folder with the files that the examples name."""
    write_case(tmp_path, "case", [FLAIR, T1])
    for name in ("student", "demo/student"):
        (tmp_path / name).mkdir(parents=True)
        shutil.copy(student_file, tmp_path / name / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_example_of_the_docstring_runs(working_folder: Path) -> None:
    assert working_folder.is_dir()
    outcome = doctest.testmod(translator, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.attempted >= 10
    assert outcome.failed == 0


def run_example(page: str) -> dict[str, Any]:
    """Run the one Python block of a page."""
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, page, "exec"), names)
    return names


def test_example_of_the_readme_runs(working_folder: Path) -> None:
    assert set(run_example("README.md")["made"]) == {T1CE, T2}
    assert (working_folder / "case_t2_synthetic.nii.gz").is_file()


def test_example_of_the_python_page_runs(working_folder: Path) -> None:
    names = run_example("docs/python.md")
    assert (working_folder / "case_t1ce_synthetic.nii.gz").is_file()
    assert set(names["made"]) == {T1CE, T2}


def test_package_shows_what_it_offers_and_knows_no_other_lazy_name() -> None:
    assert {"Translator", "MissingMRI"} <= set(dir(utad_monai))
    assert utad_monai.Translator is Translator
    with pytest.raises(AttributeError, match="nothing"):
        _ = utad_monai.nothing


def test_translator_says_what_it_is(student: Translator) -> None:
    text = repr(student)
    assert text.startswith("<Translator: ")
    for part in ("one source", "flair, t1, t1ce, t2", "32 x 32 pixels of", "cpu"):
        assert part in text


def test_modalities_may_be_named_as_people_name_them(student: Translator, case_folder: Path) -> None:
    path = case_folder / "case_t1.nii.gz"
    made = student.translate(path, "T1", "T1CE")
    for name in ("T1ce", "t1c", "T1Gd"):
        np.testing.assert_array_equal(student.translate(path, "t1n", name), made)
    assert set(student.complete({"T1w": path, "T2-FLAIR": case_folder / "case_flair.nii.gz"})) == {T1CE, T2}
    with pytest.raises(ValueError, match="'T9' is no modality here; choose one of flair, t1, t1ce, t2"):
        student.translate(path, "t1", "T9")
    with pytest.raises(ValueError, match="two images are given as t1"):
        student.complete({"t1": path, "T1": path})


def test_targets_that_are_asked_are_made_alone(student: Translator, case_folder: Path) -> None:
    assert list(student.complete(case_folder, targets=["T2"])) == [T2]


@pytest.fixture
def missing_mri(student: Translator) -> MissingMRI:
    return MissingMRI(student)


def test_the_one_image_that_is_missing_is_made(
    missing_mri: MissingMRI, student: Translator, tmp_path: Path, write_case: Callable[..., Any]
) -> None:
    write_case(tmp_path, "case", [FLAIR, T1, T2])
    files = {name: tmp_path / "case" / f"case_{m}.nii.gz" for name, m in (("t2f", FLAIR), ("t1n", T1), ("t2w", T2))}
    path = missing_mri.infer_single(tmp_path / "out" / "case-t1c.nii.gz", **files)
    expected = student.complete(tmp_path / "case")[T1CE]
    np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), np.rint(expected.image[0].numpy()))
    assert nibabel.load(path).header["descrip"].tobytes().startswith(b"SYNTHETIC t1ce from")
    assert (tmp_path / "out" / "case-t1c.json").is_file()


def test_of_several_missing_images_one_is_named(missing_mri: MissingMRI, case_folder: Path, tmp_path: Path) -> None:
    t1n, output = case_folder / "case_t1.nii.gz", tmp_path / "made.nii.gz"
    with pytest.raises(ValueError, match="t1c, t2f, t2w are missing: choose one, such as target='t1c'"):
        missing_mri.infer_single(output, t1n=t1n)
    with pytest.raises(ValueError, match="t1n is given: choose one of t1c, t2f, t2w"):
        missing_mri.infer_single(output, t1n=t1n, target="t1n")
    with pytest.raises(ValueError, match="give 1 to 3 of t1n, t1c, t2f, t2w, not 0"):
        missing_mri.infer_single(output)
    assert not output.exists()
    missing_mri.infer_single(output, t1n=t1n, target="t2w")
    assert nibabel.load(output).header["descrip"].tobytes().startswith(b"SYNTHETIC t2 from t1")
