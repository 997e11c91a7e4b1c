"""The TorchScript file computes the student and carries its configs."""

from __future__ import annotations

import json

import torch
from monai.data import load_net_with_metadata

from utad_monai.checkpoints import Translator
from utad_monai.networks import StudentTranslator
from utad_monai.packaging.layout import PackageFile
from utad_monai.packaging.parity import probe
from utad_monai.packaging.writer import Package


def test_it_computes_the_student_exactly(package: Package, student: Translator) -> None:
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
