"""Students converted for another library, which computes them on the processor."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from utad_monai.errors import required_module
from utad_monai.inferers.backends.onnx_file import LIBRARIES, export_onnx, onnx_network
from utad_monai.inferers.backends.parity import Network
from utad_monai.keys import InferenceEngine
from utad_monai.networks import StudentTranslator, TumourAwareGenerator, with_target_planes
from utad_monai.networks.norms import with_pooled_norms


class ConvertedEngine(ABC):
    """Compute a student on the processor with another library than torch.

    Args:
        generator: a student; it is converted at the first call, which takes seconds, and later changes do not count.
        threads: those of torch when None.

    Raises:
        ValueError: for a teacher, which needs masks.
    """

    def __init__(self, generator: TumourAwareGenerator, threads: int | None = None) -> None:
        self.network = StudentTranslator(generator)
        self.threads = threads
        self._converted: Network | None = None

    @abstractmethod
    def convert(self) -> Network:
        """Return the network as a function from `(B, S + M, H, W)` to `(B, 1, H, W)`; `network` stays as it is."""

    def __call__(self, image: Tensor, second_image: Tensor, target_modality: Tensor) -> Tensor:  # noqa: ARG002
        """Translate `(B, S, H, W)` slices; the second image is not looked at."""
        if self._converted is None:
            self._converted = self.convert()
        return self._converted(with_target_planes(image, target_modality, self.network.modalities).cpu())


LIBRARY = "openvino"
OTHERWISE = f"choose --engine {InferenceEngine.TORCH}"
"""How to do without an engine's library."""
_EXAMPLE = (2, 48, 64)
"""Number, height and width of the slices that the network is traced with; it takes any."""


class OpenVinoEngine(ConvertedEngine):
    """Compute a student with OpenVINO in float32; the number of threads does not change a bit."""

    def convert(self) -> Network:
        """Return the network as OpenVINO computes it.

        Raises:
            MissingLibraryError: when OpenVINO is missing.
        """
        openvino = required_module(LIBRARY, f"engine {InferenceEngine.OPENVINO}", LIBRARY, OTHERWISE)
        batch, height, width = _EXAMPLE
        image = torch.zeros(batch, self.network.image_channels, height, width)
        example = with_target_planes(image, torch.zeros(batch, dtype=torch.long), self.network.modalities)
        # the conversion changes the network that it is given: this one is a copy
        network = with_pooled_norms(self.network)
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")  # what a trace keeps fixed: the check that sizes are multiples of 16
            model = openvino.convert_model(network, example_input=example)
        options = {
            "INFERENCE_PRECISION_HINT": "f32",  # some processors would take bfloat16
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads or torch.get_num_threads(),
        }
        compiled = openvino.Core().compile_model(model, "CPU", options)
        return lambda stacked: torch.from_numpy(compiled(stacked.numpy())[0].copy())  # the next call overwrites it


__all__ = ["LIBRARIES", "OnnxEngine"]


class OnnxEngine(ConvertedEngine):
    """Compute a student with onnxruntime."""

    def convert(self) -> Network:
        """Return the network as onnxruntime computes it."""
        with TemporaryDirectory() as folder, torch.inference_mode(False):
            path = Path(folder) / "model.onnx"
            export_onnx(self.network, path)
            return onnx_network(path, self.threads)
