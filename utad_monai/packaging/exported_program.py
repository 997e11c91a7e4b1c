"""The student as a `torch.export` program with free batch size, height and width, proven equal."""

from __future__ import annotations

from pathlib import Path

import torch

from utad_monai.networks import StudentTranslator
from utad_monai.packaging.parity import Parity, checked_parity, probe

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
        program = torch.export.export(student, (probe(2, 48, 64, student.image_channels),), dynamic_shapes=(_FREE,))
    torch.export.save(program, path)
    return checked_parity(student, torch.export.load(path).module(), image_size, "the torch.export file")
