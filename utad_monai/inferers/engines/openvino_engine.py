"""Slices computed by OpenVINO, the fastest on a processor."""

from __future__ import annotations

import warnings

import torch

from utad_monai.errors import required_module
from utad_monai.inferers.engines.converted import ConvertedEngine
from utad_monai.inferers.engines.pooled_norm import with_pooled_norms
from utad_monai.keys import InferenceEngine
from utad_monai.networks import with_target_planes
from utad_monai.packaging.parity import Network

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
        example = with_target_planes(image, torch.zeros(batch, dtype=torch.long))
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
