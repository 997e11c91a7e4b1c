"""Slices computed by OpenVINO, the fastest on a processor."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from utad_monai.inferers.engines.errors import required_module
from utad_monai.inferers.engines.pooled_norm import with_pooled_norms
from utad_monai.keys import InferenceEngine
from utad_monai.networks import StudentTranslator, TumourAwareGenerator
from utad_monai.networks.generator import one_hot_planes

LIBRARY = "openvino"
_EXAMPLE = (2, 1, 48, 64)
"""Shape of the slices that the network is traced with; it takes any."""


class OpenVinoEngine:
    """Compute a student with OpenVINO on the processor, in float32; the number of threads does not change a bit.

    Args:
        generator: a student; it is converted at the first call, which takes seconds, and later changes do not count.
        threads: those of torch when None.

    Raises:
        ValueError: for a teacher, which needs masks.
    """

    def __init__(self, generator: TumourAwareGenerator, threads: int | None = None) -> None:
        self.network = StudentTranslator(generator)
        self.threads = threads
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, image: Tensor, second_image: Tensor, target_modality: Tensor) -> Tensor:  # noqa: ARG002
        """Translate `(B, 1, H, W)` slices; the second image is not looked at."""
        if self._compiled is None:
            self._compiled = self._converted()
        stacked = torch.cat([image, one_hot_planes(target_modality, image)], dim=1)
        return torch.from_numpy(self._compiled(stacked.cpu().numpy())[0].copy())  # the next call overwrites it

    def _converted(self) -> Callable[..., Any]:
        openvino = required_module(LIBRARY, InferenceEngine.OPENVINO, LIBRARY)
        image = torch.zeros(_EXAMPLE)
        example = torch.cat([image, one_hot_planes(torch.zeros(len(image), dtype=torch.long), image)], dim=1)
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
        compiled: Callable[..., Any] = openvino.Core().compile_model(model, "CPU", options)
        return compiled
