"""The model class for SlicerModalityConverter, against the interface that the extension documents, without Slicer."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.orientations import io_orientation

from tests.package_fixtures import package, student, tiny_student_file
from utad_monai import Translator
from utad_monai.apps.package.writer import Package
from utad_monai.models.package_file import PackageFile

__all__ = ["package", "student", "tiny_student_file"]

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "UtadMonaiModel.py"
LPS = np.diag([-1.5, -1.5, 3.0, 1.0])
RAS = np.diag([1.5, 1.5, 3.0, 1.0])
SAGITTAL = np.array([[0, 0, 1.5, 0], [1.5, 0, 0, 0], [0, -3.0, 0, 0], [0, 0, 0, 1]])


class Node:
    """A scalar volume: `(K, J, I)`; with an affine it knows its geometry, as in Slicer, else none, as in a worker."""

    def __init__(self, array: Any = None, affine: Any = None) -> None:
        self.array, self.name, self.copied_from = array, "", None
        if affine is not None:
            spacing = np.linalg.norm(affine[:3, :3], axis=0)
            self.GetSpacing = lambda: tuple(spacing)
            self.GetIJKToRASDirectionMatrix = lambda matrix: matrix.set(affine[:3, :3] / spacing)

    def CopyOrientation(self, other: Any) -> None:  # noqa: N802
        self.copied_from = other

    def SetName(self, name: str) -> None:  # noqa: N802
        self.name = name


class Matrix:
    def set(self, values: Any) -> None:
        self.values = values

    def GetElement(self, row: int, column: int) -> float:  # noqa: N802
        return float(self.values[row, column])


class BaseModel:
    """What the extension's class does that a model relies on."""

    def __init__(self, modelKey: str, device: str = "cpu") -> None:  # noqa: N803
        self.modelKey, self.device, self.model = modelKey, device, None
        self.progress: list[int] = []

    def reportProgress(self, percent: int, message: str) -> None:  # noqa: ARG002, N802
        self.progress.append(percent)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Import the example where `slicer` and the extension are there; give what it registers."""
    found: dict[str, Any] = {}
    util = SimpleNamespace(
        arrayFromVolume=lambda node: node.array,
        updateVolumeFromArray=lambda node, array: setattr(node, "array", array),
        resetSliceViews=lambda: None,
    )
    modules = {
        "slicer": {"util": util},
        "vtk": {"vtkMatrix4x4": Matrix},
        "ModalityConverterLib": {},
        "ModalityConverterLib.ModelBase": {
            "BaseModel": BaseModel,
            "register_model": lambda key: lambda cls: found.setdefault(key, cls),
        },
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    specification = importlib.util.spec_from_file_location("UtadMonaiModel", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    specification.loader.exec_module(importlib.util.module_from_spec(specification))
    return found


@pytest.fixture
def model(registry: dict[str, Any], package: Package) -> Any:
    made = registry["utad_monai_t1_to_t2_student"]("utad_monai_t1_to_t2_student", "cpu")
    made.model = made._loadModelFromPath(str(package.folder / PackageFile.ONNX))
    return made


def test_every_pair_of_modalities_has_a_key_and_none_begins_another(registry: dict[str, Any]) -> None:
    assert len(registry) == 12
    assert "utad_monai_flair_to_t1ce_student" in registry
    assert not [(one, other) for one in registry for other in registry if one != other and other.startswith(one)]


@pytest.mark.parametrize("affine", [LPS, RAS, SAGITTAL], ids=["LPS", "RAS", "sagittal"])
def test_a_volume_is_what_the_translator_makes(
    model: Any, package: Package, tmp_path: Path, write_case: Callable[..., Path], affine: Any
) -> None:
    shape = (20, 12, 24) if affine is SAGITTAL else (24, 20, 12)
    folder = write_case(tmp_path, "case", ["t1"], shape=shape, affine=affine)
    image = nibabel.load(folder / "case_t1.nii.gz")
    assert io_orientation(image.affine).shape == (3, 2)
    given, output = Node(np.asarray(image.dataobj).transpose(2, 1, 0), affine), Node()
    made = model.runInference(given, output)
    translator = Translator.from_checkpoint(package.folder, device="cpu")
    expected = translator.translate(folder / "case_t1.nii.gz", "t1", "t2")[0].numpy().transpose(2, 1, 0)
    assert output.array is made
    assert output.copied_from is given
    assert output.name == "SYNTHETIC t2 from t1"
    assert model.progress[-1] == 100
    np.testing.assert_array_equal(made == 0, expected == 0)
    assert np.abs(made - expected).max() < 0.5  # of a window of 860


def test_a_node_without_geometry_is_taken_for_lps_with_voxels_of_1_mm(
    model: Any, tmp_path: Path, write_case: Callable[..., Path]
) -> None:
    folder = write_case(tmp_path, "case", ["t1"])
    array = np.asarray(nibabel.load(folder / "case_t1.nii.gz").dataobj).transpose(2, 1, 0)
    known, unknown = Node(), Node()
    model.runInference(Node(array, np.diag([-1.0, -1.0, 1.0, 1.0])), known)
    model.runInference(Node(array), unknown)
    np.testing.assert_array_equal(known.array, unknown.array)


def test_a_mask_makes_the_background_and_a_head_without_one_is_refused(
    model: Any, tmp_path: Path, write_case: Callable[..., Path]
) -> None:
    folder = write_case(tmp_path, "case", ["t1"])
    brain = np.asarray(nibabel.load(folder / "case_t1.nii.gz").dataobj).transpose(2, 1, 0)
    masked, head = Node(), np.where(brain > 0, brain, 7)
    model.runInference(Node(head), masked, inputMask=Node((brain > 0).astype(np.uint8)))
    plain = Node()
    model.runInference(Node(brain), plain)
    np.testing.assert_array_equal(masked.array, plain.array)
    with pytest.raises(ValueError, match="skull-strip it"):
        model.runInference(Node(head), Node())


def test_a_file_that_says_nothing_of_its_preprocessing_is_refused(
    registry: dict[str, Any], package: Package, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    bare = onnx.load(package.folder / PackageFile.ONNX)
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "bare.onnx")
    made = registry["utad_monai_t1_to_t2_student"]("utad_monai_t1_to_t2_student")
    with pytest.raises(ValueError, match="says nothing of its preprocessing"):
        made._loadModelFromPath(str(tmp_path / "bare.onnx"))
