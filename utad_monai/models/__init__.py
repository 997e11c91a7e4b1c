"""Models on disk: weights plus the plain-data description that is needed to rebuild and use them."""

from utad_monai.errors import CheckpointError
from utad_monai.models.content import read_translator_content
from utad_monai.models.earlier_stage import common_preprocessing, critics_for_student, load_stage, load_start_weights
from utad_monai.models.segmenter import Segmenter, load_segmenter, save_segmenter, tolerant_segmenter
from utad_monai.models.translator_model import TranslatorModel, fill_from_package, load_translator, save_translator
from utad_monai.models.weights_file import file_sha256, read_weights_only

__all__ = [
    "CheckpointError",
    "Segmenter",
    "TranslatorModel",
    "common_preprocessing",
    "critics_for_student",
    "file_sha256",
    "fill_from_package",
    "load_segmenter",
    "load_stage",
    "load_start_weights",
    "load_translator",
    "read_translator_content",
    "read_weights_only",
    "save_segmenter",
    "save_translator",
    "tolerant_segmenter",
]
