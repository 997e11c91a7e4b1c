"""The starter: weights that come with the package, taught by a phantom alone; no patient is in them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from utad_monai.data.preprocessing import Preprocessing
from utad_monai.keys import FOUR_MODALITIES, ModalitySet
from utad_monai.models import CheckpointError, TranslatorModel, load_translator
from utad_monai.models.content import ModelKind, save_content
from utad_monai.models.translator_model import translator_description

STARTER_FILE = "starter.safetensors"
MAX_BYTES = 15 * 10**6
"""Largest starter file that is shipped."""
STAGE = "starter"
"""What `training["stage"]` of the starter says; sidecars and manifests repeat it."""
STARTER_PREPROCESSING = Preprocessing(frame_size_mm=(240.0, 200.0), image_size=(192, 160))
"""What completion shows the starter: every brain whole, in pixels of 1.25 mm; it takes any multiple of 16 pixels."""
_logger = logging.getLogger(__name__)
MEANING = "starter weights that come with UTAD-MONAI: taught by a phantom alone, no patient was seen"


def starter_path() -> Path:
    """Return the packaged file with the starter weights.

    Raises:
        CheckpointError: when this installation has none, saying what to do.
    """
    path = Path(__file__).parent / STARTER_FILE
    if not path.is_file():
        raise CheckpointError(
            path, "is missing: this installation has no starter weights", "give a student with --model"
        )
    return path


def load_starter() -> TranslatorModel:
    """Read the starter weights of this installation, with the checks of every model file.

    Raises:
        CheckpointError: when there are none, or the file is unsound.
    """
    return load_translator(starter_path())


def installed_starter(modalities: ModalitySet = FOUR_MODALITIES) -> TranslatorModel | None:
    """Read the starter weights; None, and a line in the log, where this installation has none for some modalities.

    Raises:
        CheckpointError: when the file is unsound.
    """
    try:
        path = starter_path()
    except CheckpointError:
        _logger.info("the starter is not measured: this installation has no starter weights")
        return None
    starter = load_translator(path)
    if starter.modalities != modalities:
        _logger.info("the starter is not measured: it knows %s", ", ".join(starter.modalities))
        return None
    return starter


def is_starter(translator: TranslatorModel) -> bool:
    """Tell whether a model is starter weights."""
    return translator.training.get("stage") == STAGE


def save_starter(
    path: str | Path, translator: TranslatorModel, preprocessing: Preprocessing = STARTER_PREPROCESSING
) -> None:
    """Write starter weights: half precision, without critics and without the phantom's intensity windows.

    Args:
        path: the file, ending in `.safetensors`.
        translator: a mask-free student that stores what it paints (`reference_histograms`).
        preprocessing: what completion shows it, whatever the slices were that it learned from.

    Raises:
        CheckpointError: when it needs masks, does not say what it paints, has weights that half precision cannot hold,
            or is larger than `MAX_BYTES`; an older file stays.
    """
    if translator.generator.needs_mask:
        raise CheckpointError(path, "would be a teacher and need tumour masks", "save a student")
    if not translator.reference_histograms:
        raise CheckpointError(
            path, "would not say what it paints", "store reference_histograms of the phantom's images"
        )
    size = sum(2 * weight.numel() for weight in translator.generator.state_dict().values())
    if size > MAX_BYTES:
        raise CheckpointError(path, f"would have {size / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f}", "narrow it")
    starter = replace(
        translator,
        preprocessing=preprocessing,
        critics=None,
        target_windows={},
        training={**translator.training, "stage": STAGE, "about": MEANING},
    )
    halves = {name: _half(weight) for name, weight in starter.generator.state_dict().items()}
    save_content(path, ModelKind.TRANSLATOR, {"generator": halves}, translator_description(starter))


def _half(weight: Tensor) -> Tensor:
    return weight.half() if weight.is_floating_point() else weight
