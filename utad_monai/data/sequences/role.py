"""What an image is for."""

from __future__ import annotations

from enum import StrEnum

from utad_monai.keys import Modality


class RawRole(StrEnum):
    """What a raw image is for."""

    FLAIR = "flair"
    T1 = "t1"
    T1CE = "t1ce"
    T2 = "t2"
    SEGMENTATION = "seg"
    """Tumour labels on the grid of one of the case's images."""
    BRAIN_MASK = "brain_mask"
    """The brain (nonzero) on the grid of one of the case's images."""
    OTHER = "other"
    """A sequence that is known and not used: diffusion, perfusion, localiser, ..."""

    @property
    def modality(self) -> Modality | None:
        """The modality, when it is one."""
        return next((modality for modality in Modality if modality.value == self.value), None)


ALL_ROLES = frozenset(RawRole)
"""What an image of which nothing is known may be."""
T1_WEIGHTED = frozenset({RawRole.T1, RawRole.T1CE})
"""Before and after contrast agent."""
MASKS = frozenset({RawRole.SEGMENTATION, RawRole.BRAIN_MASK})
"""What is drawn, not measured."""
