"""A case that has all four modalities, real or synthetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from utad_monai.data.layouts import Case
from utad_monai.keys import Modality


@dataclass(frozen=True)
class CompleteCase:
    """All that a tree needs of one case.

    Attributes:
        case: the case as it was found.
        synthetic: the files of the modalities that were made.
    """

    case: Case
    synthetic: Mapping[Modality, Path]

    def image(self, modality: Modality) -> tuple[Path, int | None]:
        """Return the file of a modality and, where it is 4-D, the position in it; a real image comes first.

        Raises:
            KeyError: when there is neither.
        """
        if modality in self.case.images:
            return self.case.images[modality], self.case.channel(modality)
        return self.synthetic[modality], None

    @property
    def made(self) -> tuple[Modality, ...]:
        """The modalities that a tree takes from the synthetic ones."""
        return tuple(modality for modality in Modality if modality not in self.case.images)
