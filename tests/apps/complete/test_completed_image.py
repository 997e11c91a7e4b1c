"""An image made in memory is written as the command writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from utad_monai import Translator
from utad_monai.apps.complete import CaseCompleter, CompletionSettings
from utad_monai.apps.complete.provenance import is_synthetic
from utad_monai.data import Case, find_cases
from utad_monai.errors import OutputError
from utad_monai.keys import Modality

FLAIR, T1, T1CE, T2 = Modality
OBLIQUE = np.array([[1.5, 0, 0, 3], [0, 1.49, -0.4, -7], [0, 0.1, 3, 2], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def student(student_file: Path) -> Translator:
    return Translator.from_checkpoint(student_file, device="cpu")


@pytest.fixture
def case(tmp_path: Path, write_case: Callable[..., Any]) -> Case:
    write_case(tmp_path / "cohort", "case", [FLAIR, T1], seed=5, affine=OBLIQUE)
    (found,) = find_cases(tmp_path / "cohort")
    return found


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_file_and_sidecar_are_those_of_the_command(student: Translator, case: Case, tmp_path: Path, dtype: str) -> None:
    settings = CompletionSettings(dtype=dtype, options=student.volumes.options)
    CaseCompleter(student.volumes, tmp_path / "out", settings=settings).complete(case)
    for modality, made in student.complete(case).items():
        path = made.save(tmp_path / "saved" / f"case_{modality}_synthetic.nii.gz", dtype=dtype)
        written = tmp_path / "out" / "case" / path.name
        assert path.read_bytes() == written.read_bytes()
        ours, theirs = (json.loads((f.parent / f"case_{modality}_synthetic.json").read_text()) for f in (path, written))
        assert ours == theirs | {"Warnings": ours["Warnings"]}


def test_image_of_arrays_is_marked_and_lies_on_their_grid(student: Translator, case: Case, tmp_path: Path) -> None:
    array = np.asarray(nibabel.load(case.images[T1]).dataobj)
    made = student.complete({"T1": array}, spacing_mm=(1.5, 1.5, 3.0))[T2]
    image = nibabel.load(made.save(tmp_path / "t2.nii.gz", "float32"))
    np.testing.assert_array_equal(np.asarray(image.dataobj), made.image)
    np.testing.assert_allclose(image.affine, np.diag([-1.5, -1.5, 3.0, 1.0]))
    assert is_synthetic(image.header)
    sidecar = json.loads((tmp_path / "t2.json").read_text())
    assert sidecar["Synthetic"] is True
    assert sidecar["Sources"] == ["t1 in memory"]
    assert list(sidecar["FileSha256"]) == ["t2.nii.gz"]


def test_uncertainty_lies_beside_the_image(student_file: Path, case: Case, tmp_path: Path) -> None:
    doubting = Translator.from_checkpoint(student_file, device="cpu", uncertainty=True)
    made = doubting.complete(case)[T2]
    made.save(tmp_path / "case_t2_synthetic.nii.gz")
    assert is_synthetic(nibabel.load(tmp_path / "case_t2_uncertainty.nii.gz").header)
    assert "with uncertainty" in repr(made)


def test_saved_twice_the_synthetic_image_is_replaced(student: Translator, case: Case, tmp_path: Path) -> None:
    made = student.complete(case)
    made[T2].save(tmp_path / "made.nii.gz")
    made[T1CE].save(tmp_path / "made.nii.gz")
    assert json.loads((tmp_path / "made.json").read_text())["Modality"] == "t1ce"


def test_no_measured_image_and_no_other_file_is_replaced(student: Translator, case: Case, tmp_path: Path) -> None:
    made = student.complete(case)[T2]
    before = case.images[T1].read_bytes()
    with pytest.raises(OutputError, match=r"case_t1\.nii\.gz.*is no synthetic image"):
        made.save(case.images[T1])
    assert case.images[T1].read_bytes() == before
    (tmp_path / "scan.json").write_text('{"EchoTime": 0.1}')
    with pytest.raises(OutputError, match=r"scan\.json.*is no synthetic image"):
        made.save(tmp_path / "scan.nii.gz")
    assert not (tmp_path / "scan.nii.gz").exists()
    with pytest.raises(OutputError, match=r"does not end in \.nii\.gz"):
        made.save(tmp_path / "scan.nii")


def test_what_it_is_can_be_read(student: Translator, case: Case) -> None:
    made = student.complete(case)[T2]
    assert repr(made) == f"<CompletedImage: SYNTHETIC t2 (1, 24, 20, 12) from {next(iter(made.weights))} 1.00>"
