"""The files of a package, and what their names mean to a reader."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

DEFAULT_NAME = "brain_mri_modality_translation"
"""Name of a package, and of its folder, where none is given."""
WEIGHT_PREFIX = "generator."
"""What stands before the generator's own weight names: `network_def` holds the generator as its only part."""


class PackageFile(StrEnum):
    """A file of a package, relative to its folder; the names are those of MONAI's model zoo where it has one."""

    METADATA = "configs/metadata.json"
    INFERENCE = "configs/inference.json"
    LOGGING = "configs/logging.conf"
    TRANSLATOR = "configs/translator.json"
    """The model's plain-data description: generator, preprocessing, intensity windows, source errors, training."""
    WEIGHTS = "models/model.pt"
    """The state dict of `network_def`."""
    SAFETENSORS = "models/model.safetensors"
    ONNX = "models/model.onnx"
    TORCHSCRIPT = "models/model.ts"
    PT2 = "models/model.pt2"
    """A `torch.export` program."""
    MODEL_CARD = "docs/README.md"
    DATA_LICENCE = "docs/data_license.txt"
    LICENCE = "LICENSE"


def weights_file(model: str | Path) -> Path:
    """Return the file with a model's weights: the model itself, or the one inside a package folder."""
    path = Path(model)
    return path / PackageFile.WEIGHTS if path.is_dir() else path
