"""The torch.export file takes any size and batch, and computes the student."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from utad_monai.checkpoints import Translator
from utad_monai.networks import StudentTranslator
from utad_monai.packaging.exported_program import write_exported_program
from utad_monai.packaging.layout import PackageFile
from utad_monai.packaging.parity import TOLERANCE, probe
from utad_monai.packaging.writer import write_package


@pytest.fixture(scope="module")
def network(student: Translator) -> StudentTranslator:
    return StudentTranslator(student.generator).eval()


def test_it_computes_the_student_at_any_size(network: StudentTranslator, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    assert write_exported_program(network, path, (32, 32)).from_exact <= TOLERANCE
    program = torch.export.load(path).module()
    for size in ((1, 32, 32), (7, 48, 80), (2, 160, 32)):
        torch.testing.assert_close(program(probe(*size)), network(probe(*size)), rtol=0, atol=TOLERANCE)


def test_package_holds_it_when_asked(student_file: Path, tmp_path: Path) -> None:
    package = write_package(student_file, tmp_path, onnx=False, torchscript=False, pt2=True)
    assert package.parity[PackageFile.PT2.value].from_exact <= TOLERANCE
    assert (package.folder / PackageFile.PT2).is_file()
