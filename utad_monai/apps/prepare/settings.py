"""The error that ends one case and no other."""

from __future__ import annotations

from dataclasses import KW_ONLY, asdict, dataclass
from enum import StrEnum
from typing import Any

from utad_monai.keys import Modality


class RefusedCaseError(ValueError):
    """A case that cannot be prepared, for a reason that is not one damaged file.

    Args:
        reason: what is wrong, in a few words.
        remedy: what the user can do about it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{reason}; {remedy}")


REFERENCE_ORDER = (Modality.T1CE, Modality.T1, Modality.FLAIR, Modality.T2)
"""The reference is the first of these that a case has; usually the one with the finest voxels."""


class GridKind(StrEnum):
    """Onto which voxels a case is resampled."""

    BRATS = "brats"
    """1 mm, 240 x 240 x 155 voxels in LPS order, centred on the brain, with the header of BraTS."""
    REFERENCE = "reference"
    """The reference image's own voxels."""


class BrainMaskMethod(StrEnum):
    """Where the brain mask comes from."""

    AUTO = "auto"
    """The first that is there: given, own, hd-bet, synthstrip, otsu."""
    GIVEN = "given"
    """A mask file of the case."""
    OWN = "own"
    """The images are skull-stripped: their voxels that are not 0."""
    HD_BET = "hd-bet"
    """The command `hd-bet`."""
    SYNTHSTRIP = "synthstrip"
    """The command `mri_synthstrip` or `nipreps-synthstrip`."""
    OTSU = "otsu"
    """Threshold and morphology: rough."""
    NONE = "none"
    """No mask: the skull stays."""


class Interpolation(StrEnum):
    """How images are resampled; segmentations never are interpolated as numbers."""

    LINEAR = "linear"
    BSPLINE = "bspline"


@dataclass(frozen=True)
class PreparationSettings:
    """Every parameter that decides what a prepared case looks like.

    Args:
        reference: modality to which the others are registered; None for the first of `REFERENCE_ORDER`.
        grid: the voxels of the result.
        n4: whether to correct the bias field of each image.
        brain_mask: where the brain mask comes from.
        interpolation: of images.
        seed: of the points at which a registration compares two images.
    """

    reference: Modality | None = None
    grid: GridKind = GridKind.BRATS
    _: KW_ONLY
    n4: bool = False
    brain_mask: BrainMaskMethod = BrainMaskMethod.AUTO
    interpolation: Interpolation = Interpolation.LINEAR
    seed: int = 0

    def description(self) -> dict[str, Any]:
        """Return the parameters as plain data."""
        return {key: str(value) if isinstance(value, StrEnum) else value for key, value in asdict(self).items()}
