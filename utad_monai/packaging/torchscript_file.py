"""The student as TorchScript, as MONAI's `ckpt_export` writes it, proven equal."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.data import save_net_with_metadata
from monai.networks.utils import convert_to_torchscript

from utad_monai.networks import StudentTranslator
from utad_monai.packaging.parity import Parity, checked_parity


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
