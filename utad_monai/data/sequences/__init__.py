"""What an image is, for every door: by how it was acquired, and by what it is called."""

from utad_monai.data.sequences.acquisition import contrast_agent
from utad_monai.data.sequences.names import modality_called, read_name
from utad_monai.data.sequences.recognition import DESCRIPTION, FOLDER, NAME, Recognition, contradiction, recognise
from utad_monai.data.sequences.role import MASKS, RawRole
from utad_monai.data.sequences.sidecar import read_sidecar

__all__ = [
    "DESCRIPTION",
    "FOLDER",
    "MASKS",
    "NAME",
    "RawRole",
    "Recognition",
    "contradiction",
    "contrast_agent",
    "modality_called",
    "read_name",
    "read_sidecar",
    "recognise",
]
