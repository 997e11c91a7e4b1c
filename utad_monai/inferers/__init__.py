"""Inference: slices and whole volumes."""

from utad_monai.inferers.calibration import (
    Calibration,
    CohortCalibrator,
    IntensityMap,
    calibrations_without_each,
    fit_calibration,
    fit_store_calibration,
)
from utad_monai.inferers.slice_translator import (
    MirroringTranslator,
    RandTranslateModalityd,
    SliceTranslator,
    source_channels,
)
from utad_monai.inferers.source_fusion import FusedSlices, fuse
from utad_monai.inferers.translation_options import TranslationOptions
from utad_monai.inferers.volume_translator import SyntheticVolume, ThroughPlane, VolumeTranslator, smooth_through_plane

__all__ = [
    "Calibration",
    "CohortCalibrator",
    "FusedSlices",
    "IntensityMap",
    "MirroringTranslator",
    "RandTranslateModalityd",
    "SliceTranslator",
    "SyntheticVolume",
    "ThroughPlane",
    "TranslationOptions",
    "VolumeTranslator",
    "calibrations_without_each",
    "fit_calibration",
    "fit_store_calibration",
    "fuse",
    "smooth_through_plane",
    "source_channels",
]
