"""The student as an ONNX file with free batch size, height and width, proven equal in onnxruntime."""

from __future__ import annotations

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from utad_monai.errors import required_module
from utad_monai.inferers.backends.parity import Network, Parity, checked_parity, probe
from utad_monai.keys import InferenceEngine
from utad_monai.networks import StudentTranslator, TumourAwareGenerator, with_target_planes
from utad_monai.networks.norms import with_pooled_norms, with_two_step_norms

INPUT, OUTPUT = "image", "pred"
"""Names of the graph's input and output, those of `network_data_format` in the metadata."""
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
"""What writing and running ONNX needs."""
_ONNX = ("ONNX", "export", "leave ONNX out (--no-onnx)")
_AXES = {0: "batch", 2: "height", 3: "width"}
_LARGEST_FILE_BYTES = 2**31 - 2**24
"""A protocol buffer holds less than 2 GiB: larger weights go into a file beside it; the graph needs some room."""


def refuse_without_libraries() -> None:
    """Find out before anything is written whether ONNX can be written.

    Raises:
        PackageError: when one of onnx, onnxscript and onnxruntime is missing.
    """
    for name in LIBRARIES:
        required_module(name, *_ONNX)


def write_onnx(
    student: StudentTranslator, path: str | Path, image_size: tuple[int, int], about: Mapping[str, str] | None = None
) -> Parity:
    """Write the network as ONNX and compare it with the student.

    Args:
        student: maps `(B, S + 4, H, W)` to `(B, 1, H, W)`, in evaluation mode.
        path: file to write; weights of more than 2 GB go to `<path>.data` beside it.
        image_size: height and width that the student was trained with; the file takes others as well.
        about: texts that the file carries for its readers, by key.

    Returns:
        How equal the file is to the student.

    Raises:
        PackageError: when a library is missing or the file is not equal enough.
    """
    refuse_without_libraries()
    export_onnx(student, path, about)
    return checked_parity(student, onnx_network(path), image_size, "the ONNX file")


def export_onnx(student: StudentTranslator, path: str | Path, about: Mapping[str, str] | None = None) -> None:
    """Write the network as ONNX, not compared with anything; the arguments are those of `write_onnx`."""
    free = dict.fromkeys(_AXES, torch.export.Dim.DYNAMIC)
    with _silent(), torch.no_grad():
        program: Any = torch.onnx.export(
            with_two_step_norms(student),
            (probe(2, 48, 64, student.image_channels, student.modalities),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=(free,),
            dynamo=True,
            verbose=False,
        )
    _tidy(program.model)
    program.model.metadata_props.update(about or {})
    size = sum(weight.numel() * weight.element_size() for weight in student.parameters())
    program.save(str(path), external_data=size > _LARGEST_FILE_BYTES)


def onnx_network(path: str | Path, threads: int | None = None) -> Network:
    """Return an ONNX file as a function of tensors, computed by onnxruntime on the processor.

    Args:
        path: the file.
        threads: those of torch when None.

    Raises:
        PackageError: when onnxruntime is missing.
    """
    runtime = required_module("onnxruntime", *_ONNX)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(stacked: Tensor) -> Tensor:
        (made,) = session.run([OUTPUT], {INPUT: stacked.numpy()})
        return torch.from_numpy(made)

    return run


def _tidy(model: Any) -> None:
    """Name the free axes, and drop what says nothing about the network: source lines, and paths of this machine."""
    for value in (*model.graph.inputs, *model.graph.outputs):
        for axis, name in _AXES.items():
            value.shape[axis] = name
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            if value not in model.graph.outputs:
                value.shape = None  # in terms of the old names


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the exporter's notes on its own libraries from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


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
