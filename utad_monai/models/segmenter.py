"""A trained segmentation network on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from monai.networks.nets import UNet
from torch import nn

from utad_monai.data.preprocessing import Preprocessing
from utad_monai.errors import CheckpointError
from utad_monai.keys import FOUR_MODALITIES, Modality
from utad_monai.models.content import UNUSABLE, ModelKind, read_content, save_content
from utad_monai.models.filling import filled, refuse_absurd_preprocessing
from utad_monai.models.stages import Stage, model_path, present_model
from utad_monai.models.weights_file import file_sha256


@dataclass(frozen=True)
class Segmenter:
    """A trained segmentation network: some or all modalities in, WT, TC and ET out.

    Attributes:
        network: MONAI UNet, `(B, C, H, W)` in [-1, 1] to `(B, 3, H, W)` logits, in evaluation mode.
        preprocessing: what its inputs must have gone through.
        arguments: constructor arguments of the UNet.
        modalities: its C input channels; all four by default.
        sha256: hash of the file it came from; empty before it is saved.
    """

    network: nn.Module
    preprocessing: Preprocessing
    _: KW_ONLY
    arguments: Mapping[str, Any]
    modalities: tuple[Modality, ...] = FOUR_MODALITIES
    sha256: str = ""


def save_segmenter(path: str | Path, segmenter: Segmenter) -> None:
    """Write a segmentation network to one safetensors file, atomically.

    Raises:
        CheckpointError: when a weight is not finite, or the description no plain data; an older file stays.
    """
    description = {
        "unet": dict(segmenter.arguments),
        "preprocessing": segmenter.preprocessing.description(),
        "modalities": list(map(str, segmenter.modalities)),
    }
    save_content(path, ModelKind.SEGMENTER, {"network": segmenter.network.state_dict()}, description)


def load_segmenter(path: str | Path) -> Segmenter:
    """Read a segmentation network; the file is data only, nothing in it can run, torch's random state stays as it is.

    Raises:
        CheckpointError: when the file is not a sound segmentation network of this project.
    """
    path = present_model(path)
    content = read_content(path, ModelKind.SEGMENTER)
    weights, description = content["weights"], content["description"]
    try:
        modalities = tuple(map(Modality.named, description.get("modalities", FOUR_MODALITIES)))
        preprocessing = Preprocessing.from_description(description["preprocessing"])
        refuse_absurd_preprocessing(path, preprocessing)
        network = filled(path, lambda: UNet(**description["unet"]), weights["network"])
    except CheckpointError:
        raise
    except UNUSABLE as error:
        raise CheckpointError(path, f"has an unusable description ({error})") from error
    return Segmenter(
        network, preprocessing, arguments=description["unet"], modalities=modalities, sha256=file_sha256(path)
    )


def tolerant_segmenter(output_dir: str | Path) -> Segmenter | None:
    """Read the network of a run that was trained with modalities absent; None where none was trained.

    Raises:
        CheckpointError: when its file is not a sound segmentation network of this project.
    """
    path = model_path(output_dir, Stage.TOLERANT)
    return load_segmenter(path) if path.is_file() else None
