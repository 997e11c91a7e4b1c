"""Slices computed by onnxruntime, through the file that packages hold."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from utad_monai.networks import StudentTranslator, TumourAwareGenerator
from utad_monai.networks.generator import one_hot_planes
from utad_monai.packaging.onnx_file import LIBRARIES, export_onnx, onnx_network
from utad_monai.packaging.parity import Network

__all__ = ["LIBRARIES", "OnnxEngine"]


class OnnxEngine:
    """Compute a student with onnxruntime on the processor.

    Args:
        generator: a student; it is exported at the first call, which takes seconds, and later changes do not count.
        threads: those of torch when None.

    Raises:
        ValueError: for a teacher, which needs masks.
    """

    def __init__(self, generator: TumourAwareGenerator, threads: int | None = None) -> None:
        self.network = StudentTranslator(generator)
        self.threads = threads
        self._computed: Network | None = None

    def __call__(self, image: Tensor, second_image: Tensor, target_modality: Tensor) -> Tensor:  # noqa: ARG002
        """Translate `(B, 1, H, W)` slices; the second image is not looked at."""
        if self._computed is None:
            self._computed = self._exported()
        return self._computed(torch.cat([image, one_hot_planes(target_modality, image)], dim=1).cpu())

    def _exported(self) -> Network:
        with TemporaryDirectory() as folder, torch.inference_mode(False):
            path = Path(folder) / "model.onnx"
            export_onnx(self.network, path)
            return onnx_network(path, self.threads)
