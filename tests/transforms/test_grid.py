"""Headers that say nothing sensible follow those of their case, and only where nothing else can be meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from utad_monai.apps.complete import write_volume
from utad_monai.data import CohortError, Preprocessing, find_cases, load_case
from utad_monai.data.case_volumes import load_volumes
from utad_monai.keys import Modality
from utad_monai.transforms.grid import file_of, header_file_of

FLAIR, T1, T1CE, T2 = Modality
METRE = np.diag([1e-3, 1e-3, 1e-3, 1])


@pytest.fixture
def folder(tmp_path: Path, write_case: Callable[..., Path]) -> Path:
    return write_case(tmp_path / "cohort", "A_1")


def rewrite(path: Path, sform: Any = None, qform: Any = None, voxels: Callable[[Any], Any] = np.asarray) -> None:
    old = nibabel.load(path)
    image = nibabel.Nifti1Image(voxels(np.asarray(old.dataobj)), None)
    image.header["pixdim"][1:4] = old.header["pixdim"][1:4]
    image.set_sform(sform, code=0 if sform is None else 1)
    image.set_qform(qform, code=0 if qform is None else 1)
    image.header["pixdim"][1:4] = old.header["pixdim"][1:4] if sform is None else np.linalg.norm(sform[:3, :3], axis=0)
    nibabel.save(image, path)


def affine_of(folder: Path) -> Any:
    return nibabel.load(folder / "A_1_t2.nii.gz").affine


def problems(folder: Path) -> list[str]:
    (case,) = find_cases(folder.parent)
    return [problem.text for problem in load_volumes(case)[1]]


def test_a_file_without_forms_takes_the_grid_of_the_others_with_a_warning(
    folder: Path, tiny_preprocessing: Preprocessing
) -> None:
    (case,) = find_cases(folder.parent)
    expected = load_case(case, tiny_preprocessing)
    rewrite(folder / "A_1_flair.nii.gz")
    loaded = load_case(case, tiny_preprocessing)
    (warning,) = loaded.warnings
    assert "neither sform nor qform" in warning
    assert "A_1_t1.nii.gz" in warning
    assert loaded.images[FLAIR].as_tensor().equal(expected.images[FLAIR].as_tensor())
    assert loaded.headers == case.images | {FLAIR: case.images[T1]}


def test_what_is_written_for_it_has_a_sane_affine(
    folder: Path, tmp_path: Path, tiny_preprocessing: Preprocessing
) -> None:
    affine = affine_of(folder)
    rewrite(folder / "A_1_flair.nii.gz", affine @ METRE)
    (case,) = find_cases(folder.parent)
    loaded = load_case(case, tiny_preprocessing)
    volume = loaded.images[FLAIR].numpy()[0]
    written = nibabel.load(write_volume(tmp_path / "a.nii.gz", volume, loaded.headers[FLAIR], "x", "float32"))
    np.testing.assert_allclose(written.affine, affine, atol=1e-5)


@pytest.mark.parametrize("origin", ["kept", "scaled", "lost"])
def test_metres_are_told_from_another_spacing(folder: Path, origin: str) -> None:
    affine = affine_of(folder).copy()
    scaled = np.diag([1e-3, 1e-3, 1e-3, 1]) @ affine
    scaled[:3, 3] = {"kept": affine[:3, 3], "scaled": scaled[:3, 3], "lost": 0}[origin]
    rewrite(folder / "A_1_flair.nii.gz", scaled)
    assert problems(folder) == []


@pytest.mark.parametrize("factor", [10, 2, 1e-4])
def test_other_factors_and_places_are_another_grid(folder: Path, factor: float) -> None:
    rewrite(folder / "A_1_flair.nii.gz", affine_of(folder) @ np.diag([factor, factor, factor, 1]))
    (reason,) = problems(folder)
    assert "has another voxel spacing in its affine than A_1_t1.nii.gz" in reason


def test_the_form_that_agrees_with_the_others_is_used(folder: Path) -> None:
    affine = affine_of(folder)
    rewrite(folder / "A_1_flair.nii.gz", affine @ np.diag([-1, 1, 1, 1]), affine)
    (case,) = find_cases(folder.parent)
    volumes, found = load_volumes(case)
    assert found == []
    assert header_file_of(volumes[FLAIR]) == case.images[T1]
    assert file_of(volumes[FLAIR]) == case.images[FLAIR]


def test_when_no_form_agrees_the_file_is_refused(folder: Path) -> None:
    affine = affine_of(folder)
    shifted = affine + np.array([[0, 0, 0, 9.0], *np.zeros((3, 4))])
    rewrite(folder / "A_1_flair.nii.gz", affine @ np.diag([-1, 1, 1, 1]), shifted)
    assert len(problems(folder)) == 1


@pytest.mark.parametrize(
    "voxels", [lambda array: np.roll(array, 12, axis=0), lambda array: array[:, :, ::-1] * (array[:, :, ::-1] > 0)]
)
def test_voxels_that_lie_elsewhere_keep_a_file_out(folder: Path, voxels: Any) -> None:
    def lopsided(array: Any) -> Any:
        array = array.copy()
        array[:, :, :4] = 0
        return array

    for part in Modality:
        rewrite(folder / f"A_1_{part}.nii.gz", affine_of(folder), voxels=lopsided)
    rewrite(folder / "A_1_flair.nii.gz", voxels=voxels)
    assert len(problems(folder)) == 1


def test_nothing_is_moved_when_the_sound_files_disagree(folder: Path) -> None:
    rewrite(folder / "A_1_flair.nii.gz")
    rewrite(folder / "A_1_t1.nii.gz", affine_of(folder) + np.array([[0, 0, 0, 9.0], *np.zeros((3, 4))]))
    assert len(problems(folder)) == 2


def test_a_case_without_any_form_is_read_as_it_says(folder: Path, tiny_preprocessing: Preprocessing) -> None:
    for path in folder.iterdir():
        rewrite(path)
    (case,) = find_cases(folder.parent)
    assert len(load_case(case, tiny_preprocessing).warnings) == 5


def test_the_odd_one_is_blamed_and_not_the_others(folder: Path, tiny_preprocessing: Preprocessing) -> None:
    rewrite(folder / "A_1_flair.nii.gz", affine_of(folder) + np.array([[0, 0, 0, 9.0], *np.zeros((3, 4))]))
    (case,) = find_cases(folder.parent)
    with pytest.raises(CohortError) as refusal:
        load_case(case, tiny_preprocessing)
    assert [problem.file.name for problem in refusal.value.problems] == ["A_1_flair.nii.gz"]
