"""The ONNX file has free axes, computes the student, and says nothing about the machine it was written on."""

from __future__ import annotations

import copy
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from utad_monai.apps.package.writer import Package
from utad_monai.errors import MissingLibraryError
from utad_monai.inferers.backends import onnx_file
from utad_monai.inferers.backends.onnx_file import onnx_network, refuse_without_libraries, write_onnx
from utad_monai.inferers.backends.parity import TOLERANCE, probe
from utad_monai.models import TranslatorModel
from utad_monai.models.package_file import PackageFile
from utad_monai.networks import StudentTranslator

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture
def network(student: TranslatorModel) -> StudentTranslator:
    return StudentTranslator(student.generator).eval()


def test_batch_height_and_width_are_free_and_named(package: Package) -> None:
    graph = onnx.load(package.folder / PackageFile.ONNX).graph
    axes = [[axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in graph.input]
    assert axes == [["batch", 5, "height", "width"]]
    assert ([value.name for value in graph.input], [value.name for value in graph.output]) == (["image"], ["pred"])
    onnx.checker.check_model(str(package.folder / PackageFile.ONNX), full_check=True)


@pytest.mark.parametrize("size", [(1, 32, 32), (7, 48, 80), (2, 160, 32), (1, 192, 256)])
def test_it_computes_the_student_at_any_size(
    package: Package, network: StudentTranslator, size: tuple[int, int, int]
) -> None:
    stacked = probe(*size)
    with torch.inference_mode():
        exact = copy.deepcopy(network).double()(stacked.double())
    made = onnx_network(package.folder / PackageFile.ONNX)(stacked)
    torch.testing.assert_close(made.double(), exact, rtol=0, atol=TOLERANCE)


def test_background_is_kept_inside_the_graph(package: Package) -> None:
    stacked = probe(4, 32, 48)
    made = onnx_network(package.folder / PackageFile.ONNX)(stacked)
    assert torch.equal(made == -1, stacked[:, :1] == -1)


def test_target_decides_the_image(package: Package) -> None:
    stacked = probe(1, 32, 32)
    other = torch.cat([stacked[:, :1], stacked[:, 1:].roll(2, dims=1)], dim=1)
    run = onnx_network(package.folder / PackageFile.ONNX)
    assert float((run(stacked) - run(other)).abs().max()) > 1e-3


def test_nothing_of_this_machine_is_in_the_file(package: Package) -> None:
    content = (package.folder / PackageFile.ONNX).read_bytes()
    root = Path(onnx_file.__file__).parents[1]
    assert not [part for part in (str(root), "stack_trace", ".py", sys.prefix) if part.encode() in content]


def test_large_weights_go_into_a_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "_LARGEST_FILE_BYTES", 1000)
    network: Any = nn.Sequential(nn.Conv2d(5, 64, 3, padding=1), nn.Conv2d(64, 1, 3, padding=1)).eval()
    network.image_channels, network.modalities = 1, 4  # as a `StudentTranslator` says it
    assert write_onnx(network, tmp_path / "model.onnx", (32, 32)).from_exact <= TOLERANCE
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data"}
    assert (tmp_path / "model.onnx.data").stat().st_size > 10_000 > (tmp_path / "model.onnx").stat().st_size


def test_norms_are_written_out_because_the_operator_is_inexact_on_large_planes(package: Package) -> None:
    operators = {node.op_type for node in onnx.load(package.folder / PackageFile.ONNX).graph.node}
    assert "ReduceMean" in operators
    assert not operators & {"InstanceNormalization", "GroupNormalization"}


def test_exporters_log_level_is_put_back(package: Package) -> None:
    assert package.parity[PackageFile.ONNX.value].from_exact <= TOLERANCE
    assert logging.getLogger("torch.onnx").level != logging.ERROR


@pytest.mark.parametrize("name", ["onnx", "onnxscript", "onnxruntime"])
def test_each_missing_library_is_named_at_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingLibraryError, match=f"^ONNX: {name} is not installed"):
        refuse_without_libraries()
