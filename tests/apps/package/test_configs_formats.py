"""The TorchScript file computes the student and carries its configs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.data import load_net_with_metadata

from utad_monai.apps.package.configs import write_exported_program
from utad_monai.apps.package.writer import Package, write_package
from utad_monai.inferers.backends.parity import TOLERANCE, probe
from utad_monai.models import TranslatorModel
from utad_monai.models.package_file import PackageFile
from utad_monai.networks import StudentTranslator


def test_it_computes_the_student_exactly(package: Package, student: TranslatorModel) -> None:
    scripted = torch.jit.load(package.folder / PackageFile.TORCHSCRIPT)
    network = StudentTranslator(student.generator).eval()
    for size in ((1, 32, 32), (3, 48, 80)):
        torch.testing.assert_close(scripted(probe(*size)), network(probe(*size)), rtol=0, atol=1e-6)
    assert package.parity[PackageFile.TORCHSCRIPT.value].from_student <= 1e-6


def test_monai_reads_its_configs_back(package: Package) -> None:
    names = ("inference.json", "translator.json")
    _, metadata, others = load_net_with_metadata(
        str(package.folder / PackageFile.TORCHSCRIPT), torch.device("cpu"), names
    )
    assert metadata["name"] == "tiny_student"
    for name in names:
        assert json.loads(others[name]) == json.loads((package.folder / "configs" / name).read_text())


@pytest.fixture(scope="module")
def network(student: TranslatorModel) -> StudentTranslator:
    return StudentTranslator(student.generator).eval()


def test_it_computes_the_student_at_any_size(network: StudentTranslator, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    assert write_exported_program(network, path, (32, 32)).from_exact <= TOLERANCE
    program = torch.export.load(path).module()
    for size in ((1, 32, 32), (7, 48, 80), (2, 160, 32)):
        torch.testing.assert_close(program(probe(*size)), network(probe(*size)), rtol=0, atol=TOLERANCE)


def test_package_holds_it_when_asked(tiny_student_file: Path, tmp_path: Path) -> None:
    package = write_package(tiny_student_file, tmp_path, onnx=False, torchscript=False, pt2=True)
    assert package.parity[PackageFile.PT2.value].from_exact <= TOLERANCE
    assert (package.folder / PackageFile.PT2).is_file()
