"""Warnings about a case that can be used all the same: one record each, by kind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class FindingKind(StrEnum):
    """What a warning is about."""

    FILE = "file"
    """The file's header or values are unusual, but it can be used."""
    NAME = "name"
    """The case name may do harm in tables or on other disks."""
    INTENSITY = "intensity"
    """Saturated or vanishing intensities."""
    SEGMENTATION = "segmentation"
    """The segmentation is hardly one of a tumour in this brain."""
    NOT_SKULL_STRIPPED = "not_skull_stripped"
    """The foreground is more than a brain."""
    MODALITY_MIX_UP = "modality_mix_up"
    """Two images look as if their modalities were swapped."""
    DUPLICATE = "duplicate"
    """The voxels are those of another image."""


@dataclass(frozen=True)
class Finding:
    """A warning: something doubtful about a case that can be used all the same.

    Attributes:
        kind: what it is about.
        case_id: the case.
        file: the file it is about; None when it is the case as a whole.
        text: what was seen, and what to do about it.
    """

    kind: FindingKind
    case_id: str
    file: Path | None
    text: str

    def __str__(self) -> str:
        """Return the phrase that users read after the name of the case."""
        return f"{self.file}: {self.text}" if self.file else self.text
