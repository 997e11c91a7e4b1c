"""Slices computed by onnxruntime, through the file that packages hold."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from utad_monai.inferers.engines.converted import ConvertedEngine
from utad_monai.packaging.onnx_file import LIBRARIES, export_onnx, onnx_network
from utad_monai.packaging.parity import Network

__all__ = ["LIBRARIES", "OnnxEngine"]


class OnnxEngine(ConvertedEngine):
    """Compute a student with onnxruntime."""

    def convert(self) -> Network:
        """Return the network as onnxruntime computes it."""
        with TemporaryDirectory() as folder, torch.inference_mode(False):
            path = Path(folder) / "model.onnx"
            export_onnx(self.network, path)
            return onnx_network(path, self.threads)
