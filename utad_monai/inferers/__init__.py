"""Inference: slices and whole volumes."""

from utad_monai.inferers.slice_translator import SliceTranslator
from utad_monai.inferers.translation_augmentation import RandTranslateModalityd
from utad_monai.inferers.volume_translator import VolumeTranslator, write_synthetic

__all__ = ["RandTranslateModalityd", "SliceTranslator", "VolumeTranslator", "write_synthetic"]
