"""The engine is the asked one; `auto` is the fastest that is installed; what is missing is named with its remedy."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from utad_monai.errors import MissingLibraryError, UserError
from utad_monai.inferers.backends import slice_engine, usable_engine
from utad_monai.keys import InferenceEngine
from utad_monai.networks import TumourAwareGenerator


def test_auto_is_openvino_on_a_processor_and_torch_on_a_gpu() -> None:
    pytest.importorskip("openvino")
    assert usable_engine("auto", 64) is InferenceEngine.OPENVINO
    assert usable_engine("auto", 64, "cuda") is InferenceEngine.TORCH


def test_auto_is_torch_for_narrow_networks_whose_conversion_takes_longer_than_their_work() -> None:
    assert usable_engine("auto", 16) is InferenceEngine.TORCH


def test_auto_is_torch_where_openvino_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert usable_engine("auto", 64) is InferenceEngine.TORCH


@pytest.mark.parametrize(
    ("engine", "library", "extra"), [("openvino", "openvino", "openvino"), ("onnx", "onnxruntime", "export")]
)
def test_missing_library_is_one_line_with_the_command(
    monkeypatch: pytest.MonkeyPatch, engine: str, library: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingLibraryError) as caught:
        usable_engine(engine, 64)
    assert str(caught.value) == (
        f'engine {engine}: {library} is not installed; pip install "utad-monai[{extra}]", or choose --engine torch'
    )
    assert isinstance(caught.value, UserError)


def test_unknown_word_is_refused() -> None:
    with pytest.raises(ValueError, match="tensorrt"):
        usable_engine("tensorrt", 64)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_teacher_is_computed_by_torch_alone(engine: str) -> None:
    pytest.importorskip({"onnx": "onnxruntime"}.get(engine, engine))
    with pytest.raises(ValueError, match="needs tumour masks"):
        slice_engine(engine, TumourAwareGenerator(2))
