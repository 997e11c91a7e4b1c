"""Slices computed by torch, on any device; the reference that the other engines are compared with."""

from __future__ import annotations

import importlib.util
from typing import Protocol

import torch
from torch import Tensor

from utad_monai.errors import required_module
from utad_monai.inferers.backends.onnx_file import LIBRARIES, LIBRARY, OTHERWISE, OnnxEngine, OpenVinoEngine
from utad_monai.keys import InferenceEngine
from utad_monai.networks import TumourAwareGenerator


class TorchEngine:
    """Compute a generator, teacher or student, without its tumour decoder.

    Args:
        generator: the network; what it is at each call counts.
        device: where to compute; the generator is moved there.
    """

    def __init__(self, generator: TumourAwareGenerator, device: torch.device | str = "cpu") -> None:
        self.generator = generator.to(device)
        self.device = torch.device(device)

    @torch.inference_mode()
    def __call__(self, image: Tensor, second_image: Tensor, target_modality: Tensor) -> Tensor:
        """Translate `(B, S, H, W)` slices to `(B, 1, H, W)`; the result lies on the CPU."""
        was_training = self.generator.training
        self.generator.eval()
        inputs = [tensor.to(self.device) for tensor in (image, second_image, target_modality)]
        translated: Tensor = self.generator(*inputs, with_tumour_image=False).image.cpu()
        self.generator.train(was_training)
        return translated


WIDE = 32
"""Networks of at least so many base channels (the paper's have 64) are worth converting."""


class SliceEngine(Protocol):
    """Computes the translation of a batch of slices."""

    def __call__(self, image: Tensor, second_image: Tensor, target_modality: Tensor) -> Tensor:
        """Translate `(B, S, H, W)` slices in [-1, 1] to the modalities `(B,)`: `(B, 1, H, W)` in the same range.

        `second_image` is what the tumour encoder sees; a student's is the image itself, and is not looked at.
        """
        ...


def usable_engine(
    engine: InferenceEngine | str, base_channels: int, device: torch.device | str = "cpu"
) -> InferenceEngine:
    """Return the engine that is used: `auto` is OpenVINO for wide networks on a processor where it is installed.

    Converting takes seconds, which narrow networks do not win back in a case. The number of cases must not decide:
    every shard and every repetition of a completion uses the same engine.

    Args:
        engine: the asked one.
        base_channels: width of the network.
        device: where torch would compute.

    Raises:
        MissingLibraryError: when a library of the asked engine is missing, naming the command that installs it.
        ValueError: for an unknown word.
    """
    engine = InferenceEngine(engine)
    if engine is InferenceEngine.AUTO:
        wide = base_channels >= WIDE and torch.device(device).type == "cpu"
        fast = wide and importlib.util.find_spec(LIBRARY) is not None
        return InferenceEngine.OPENVINO if fast else InferenceEngine.TORCH
    if engine is InferenceEngine.OPENVINO:
        required_module(LIBRARY, f"engine {engine}", "openvino", OTHERWISE)
    if engine is InferenceEngine.ONNX:
        for name in LIBRARIES:
            required_module(name, f"engine {engine}", "export", OTHERWISE)
    return engine


def slice_engine(
    engine: InferenceEngine | str,
    generator: TumourAwareGenerator,
    device: torch.device | str = "cpu",
    threads: int | None = None,
) -> SliceEngine:
    """Return an engine that computes a generator.

    Args:
        engine: its name.
        generator: the network; onnx and openvino take it as it is at the first call, and translate on the processor.
        device: where torch computes; the generator is moved there.
        threads: of onnx and openvino; those of torch when None.

    Raises:
        MissingLibraryError: when a library is missing.
        ValueError: when onnx or openvino are asked to compute a teacher, which needs masks.
    """
    engine = usable_engine(engine, generator.base_channels, device)
    if engine is InferenceEngine.OPENVINO:
        return OpenVinoEngine(generator, threads)
    if engine is InferenceEngine.ONNX:
        return OnnxEngine(generator, threads)
    return TorchEngine(generator, device)
