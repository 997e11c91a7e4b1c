"""What marks an image as synthetic: the NIfTI header's text, a JSON sidecar and the file's name."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Any

import nibabel

from utad_monai import __version__
from utad_monai.inferers import SyntheticVolume
from utad_monai.keys import SYNTHETIC_MARK, IntensityRange, Modality
from utad_monai.models import TranslatorModel
from utad_monai.models.starter import MEANING, is_starter

SUFFIX = "synthetic"
"""Ending of the names of synthetic images."""
_DESCRIP_BYTES = 79
_SHORT_HASH = 12


@dataclass(frozen=True)
class SourceImage:
    """An image that a synthetic one was made from.

    Attributes:
        modality: what it shows.
        file: its name.
        sha256: hash of the file.
    """

    modality: Modality
    file: str
    _: KW_ONLY
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """Where a synthetic image comes from; known before it is made.

    Attributes:
        case_id: the case.
        target: the modality it stands for.
        sources: the images that were looked at.
        model_sha256: hash of the model file.
        preprocessing: parameters of the model's preprocessing.
        training: how the model was made, with its value on the validation split.
        validation_errors: error of translations from each source to this target on the validation split.
        settings: how the volume was made from the translations.
    """

    case_id: str
    target: Modality
    _: KW_ONLY
    sources: tuple[SourceImage, ...]
    model_sha256: str
    preprocessing: Mapping[str, Any]
    training: Mapping[str, Any]
    validation_errors: Mapping[Modality, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides the image: with the same one it need not be made again."""
        deciding = [
            __version__,
            self.case_id,
            self.target,
            [[source.modality, source.file, source.sha256] for source in self.sources],
            self.model_sha256,
            dict(self.settings),
        ]
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()

    def header_text(self, made_from: tuple[Modality, ...], content: str = "") -> str:
        """Return the text for the header's `descrip` field, at most 79 ASCII characters.

        Args:
            made_from: the modalities that count in the image.
            content: what the image shows when it is not the modality itself, such as `uncertainty of`.
        """
        shown = f"{content} {self.target}".strip()
        maker = f"UTAD-MONAI {__version__} {self.model_sha256[:_SHORT_HASH]}"
        text = f"{SYNTHETIC_MARK} {shown} from {'+'.join(made_from)}, {maker}"
        return text.encode("ascii", "replace").decode()[:_DESCRIP_BYTES]

    def sidecar(self, made_from: Mapping[Modality, float]) -> dict[str, Any]:
        """Return the sidecar's content: plain data with BIDS-like names.

        Args:
            made_from: the modalities that count in the image, with their weights.
        """
        return {
            "ImageType": ["DERIVED", SYNTHETIC_MARK],
            "Synthetic": True,
            "Warning": f"{SYNTHETIC_MARK} image, computed by a network: not a measurement, not for clinical use.",
            "Case": self.case_id,
            "Modality": str(self.target),
            "SourceModalities": {
                str(modality): round(weight, 6) for modality, weight in made_from.items() if weight > 0
            },
            "Sources": [source.file for source in self.sources],
            "SourceSha256": {source.file: source.sha256 for source in self.sources},
            "GeneratedBy": [{"Name": "UTAD-MONAI", "Version": __version__}],
            "ModelSha256": self.model_sha256,
            "Preprocessing": dict(self.preprocessing),
            "Training": dict(self.training),
            "ValidationErrors": {str(source): error for source, error in self.validation_errors.items()},
            "Settings": dict(self.settings),
            "Fingerprint": self.fingerprint,
        }


WARNINGS = "Warnings"
"""What a sidecar calls all that somebody should look at."""
_INTENSITIES = {
    IntensityRange.TRAINING: "median brain window of the modality in the model's training cohort",
    IntensityRange.COHORT: "median brain window of the modality in the completed cohort",
    IntensityRange.UNIT: "normalised brain window as [0, 1]",
}
_NOT_SHOWN = "median brain window of the other modalities in the completed cohort, which lacks it"


def meaning(
    made: SyntheticVolume, translator: TranslatorModel, intensities: IntensityRange | str | None, *, shown: bool = True
) -> dict[str, Any]:
    """Return what a sidecar says of a volume: how its slices differ, and what its numbers mean.

    Args:
        made: the volume.
        translator: what made it.
        intensities: the range that it was given; None for that of the training cohort.
        shown: whether the completed cohort shows its modality.
    """
    chosen = IntensityRange(intensities or IntensityRange.TRAINING)
    said: dict[str, Any] = {"SliceConsistency": _slice_consistency(made)}
    said["Intensities"] = _INTENSITIES[chosen] if shown else _NOT_SHOWN
    if is_starter(translator):
        said["Model"] = MEANING
    if made.uncertainty is not None:
        said["Uncertainty"] = "standard deviation between translations, in the image's intensities"
    return said


def _slice_consistency(made: SyntheticVolume) -> dict[str, Any]:
    """Return how neighbouring slices differ, also relative to the sources: 1 is alike, more is striped."""
    plane = made.through_plane
    reference = plane.sources if plane.sources > 0 else math.nan
    numbers = asdict(plane) | {
        "translated_to_sources": plane.translated / reference,
        "written_to_sources": plane.written / reference,
    }
    return {name: None if math.isnan(value) else round(value, 6) for name, value in numbers.items()}


def is_synthetic(header: nibabel.Nifti1Header) -> bool:
    """Tell whether a NIfTI header carries this project's mark."""
    return bytes(header["descrip"].tobytes()).startswith(SYNTHETIC_MARK.encode())
