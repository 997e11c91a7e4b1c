"""The starter beside the methods of an evaluation, as `complete` uses it: calibrated, and mirror images too."""

from __future__ import annotations

import torch

from utad_monai.inferers import Calibration, CohortCalibrator, MirroringTranslator, SliceTranslator
from utad_monai.models import TranslatorModel


def starter_method(
    starter: TranslatorModel,
    calibration: Calibration,
    device: torch.device | str = "cpu",
    batch_size: int = 16,
    flips: bool = True,
) -> SliceTranslator | MirroringTranslator:
    """Return what translates slices as `complete` does without a model.

    Args:
        starter: starter weights.
        calibration: gives them the intensities of the cohort.
        device: where to compute.
        batch_size: slices in one pass.
        flips: whether mirror images are translated too: twice the time.
    """
    slices = SliceTranslator(
        starter.generator, device, batch_size=batch_size, calibration=calibration, modalities=starter.modalities
    )
    return MirroringTranslator(slices) if flips else slices


def calibrated_starter(
    starter: TranslatorModel | None,
    calibrator: CohortCalibrator,
    device: torch.device | str = "cpu",
    batch_size: int = 16,
    flips: bool = True,
) -> SliceTranslator | MirroringTranslator | None:
    """Return `starter_method` with the calibration of a cohort; None without starter weights (`installed_starter`)."""
    if starter is None:
        return None
    return starter_method(starter, calibrator.fit(starter.reference_histograms), device, batch_size, flips)
