"""The student as TorchScript and as a `torch.export` program, proven equal."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.data import save_net_with_metadata
from monai.networks.utils import convert_to_torchscript

from utad_monai.inferers.backends.parity import Parity, checked_parity, probe
from utad_monai.networks import StudentTranslator


def write_torchscript(
    student: StudentTranslator, path: str | Path, image_size: tuple[int, int], configs: Mapping[str, Any]
) -> Parity:
    """Write the scripted network with its configs inside, and compare it with the student.

    Args:
        student: maps `(B, S + 4, H, W)` to `(B, 1, H, W)`, in evaluation mode.
        path: file to write.
        image_size: height and width that the student was trained with; the file takes others as well.
        configs: file name to content; `metadata.json` is among them.

    Returns:
        How equal the file is to the student.

    Raises:
        PackageError: when the file is not equal enough.
    """
    others = {name: json.dumps(content).encode() for name, content in configs.items() if name != "metadata.json"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of TorchScript at every call
        scripted = convert_to_torchscript(student)
        save_net_with_metadata(
            scripted,
            str(path),
            include_config_vals=False,
            meta_values=configs["metadata.json"],
            more_extra_files=others,
        )
        return checked_parity(student, torch.jit.load(str(path)), image_size, "the TorchScript file")


_FREE = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)


def write_exported_program(student: StudentTranslator, path: str | Path, image_size: tuple[int, int]) -> Parity:
    """Write the network as `.pt2` and compare it with the student.

    Args:
        student: maps `(B, S + 4, H, W)` to `(B, 1, H, W)`, in evaluation mode.
        path: file to write, ending in `.pt2`.
        image_size: height and width that the student was trained with; the file takes others as well.

    Returns:
        How equal the file is to the student.

    Raises:
        PackageError: when the file is not equal enough.
    """
    with torch.no_grad():
        example = probe(2, 48, 64, student.image_channels, student.modalities)
        program = torch.export.export(student, (example,), dynamic_shapes=(_FREE,))
    torch.export.save(program, path)
    return checked_parity(student, torch.export.load(path).module(), image_size, "the torch.export file")
