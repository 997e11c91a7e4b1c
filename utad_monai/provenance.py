"""What marks an image as synthetic: the NIfTI header's text and a JSON sidecar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nibabel

from utad_monai import __version__
from utad_monai.keys import Modality

MARK = "SYNTHETIC"
"""The word that begins the header text of every image made here."""
_DESCRIP_BYTES = 79
_SHORT_HASH = 12


@dataclass(frozen=True)
class Provenance:
    """Where a synthetic image comes from.

    Attributes:
        case_id: the case.
        source: the modality it was made from.
        target: the modality it stands for.
        source_file: name of the source's file.
        model_sha256: hash of the model file.
        preprocessing: parameters of the model's preprocessing.
        training: how the model was made.
    """

    case_id: str
    source: Modality
    target: Modality
    source_file: str
    model_sha256: str
    preprocessing: dict[str, Any]
    training: dict[str, Any]

    @property
    def header_text(self) -> str:
        """The text for the header's `descrip` field, at most 79 ASCII characters."""
        text = f"{MARK} {self.target} from {self.source}, UTAD-MONAI {__version__} {self.model_sha256[:_SHORT_HASH]}"
        return text.encode("ascii", "replace").decode()[:_DESCRIP_BYTES]

    def sidecar(self) -> dict[str, Any]:
        """Return the sidecar's content: plain data with BIDS-like names."""
        return {
            "ImageType": ["DERIVED", MARK],
            "Synthetic": True,
            "Warning": f"{MARK} image, computed by a network: not a measurement, not for clinical use.",
            "Case": self.case_id,
            "Modality": str(self.target),
            "SourceModality": str(self.source),
            "Sources": [self.source_file],
            "GeneratedBy": [{"Name": "UTAD-MONAI", "Version": __version__}],
            "ModelSha256": self.model_sha256,
            "Preprocessing": self.preprocessing,
            "Training": self.training,
        }


def is_synthetic(header: nibabel.Nifti1Header) -> bool:
    """Tell whether a NIfTI header carries this project's mark."""
    return bytes(header["descrip"].tobytes()).startswith(MARK.encode())
