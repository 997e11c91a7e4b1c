"""What a model must not be fed, and what it was not trained for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from utad_monai.data.intensity import UNUSUAL, IntensityProfile
from utad_monai.data.preprocessing import LoadedCase, Preprocessing
from utad_monai.data.quality.finding import Finding, FindingKind
from utad_monai.data.quality.soundness import TRANSLATED_ML
from utad_monai.keys import Modality
from utad_monai.transforms import BACKGROUND
from utad_monai.transforms.load import SMALLEST_BACKGROUND


def input_error(loaded: LoadedCase) -> Finding | None:
    """Return why a loaded case must not be translated; None when it may.

    An image without background cannot be skull-stripped, or was normalised in another way (z-scores of a whole volume,
    for instance): what this project takes for the brain would be something else.
    """
    for modality, image in loaded.images.items():
        background = float((image.as_tensor() <= BACKGROUND).float().mean())
        if background < SMALLEST_BACKGROUND:
            text = (
                f"the {modality} image has no background of 0 ({background:.1%} of its voxels): it is not "
                "skull-stripped or was normalised in another way"
            )
            remedy = "skull-strip it (utad-monai prepare, HD-BET, SynthStrip)"
            return Finding.error("", None, text, remedy, FindingKind.NOT_SKULL_STRIPPED)
    return None


def input_warnings(
    loaded: LoadedCase, profiles: Mapping[Modality, IntensityProfile] | None, preprocessing: Preprocessing
) -> Iterator[Finding]:
    """Yield a warning about everything that the model was not trained for.

    Args:
        loaded: the case.
        profiles: what the images of the model's training look like; None when nothing can be told by them.
        preprocessing: of the model.
    """
    volume_ml = float(loaded.brain.sum()) * math.prod(loaded.spacing_mm) / 1000
    if not TRANSLATED_ML[0] <= volume_ml <= TRANSLATED_ML[1]:
        text = f"the brain measures {volume_ml:.0f} ml: a part of one, a head with its skull, or a wrong voxel size"
        yield Finding.warning(FindingKind.BRAIN, "", None, text)
    if profiles is None:
        return
    for modality, image in loaded.images.items():
        if modality not in profiles:
            text = f"the model never saw {modality} images in training"
            yield Finding.warning(FindingKind.UNLIKE_TRAINING, "", None, text)
            continue
        framed: Tensor = preprocessing.frame.image_to_slices(image.as_tensor()[0], loaded.placement)
        distance = profiles[modality].distance(torch.as_tensor(framed))
        if distance > UNUSUAL:
            text = (
                f"the {modality} image is unlike the {modality} images of the training cohort (a brain quantile is "
                f"{distance:.1f} spreads away): another modality, scanner or preprocessing"
            )
            yield Finding.warning(FindingKind.UNLIKE_TRAINING, "", None, text)
