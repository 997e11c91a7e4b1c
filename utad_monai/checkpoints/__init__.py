"""Models on disk: weights plus the plain-data description that is needed to rebuild and use them."""

from utad_monai.checkpoints.content import read_translator_content
from utad_monai.checkpoints.earlier_stage import (
    common_preprocessing,
    critics_for_student,
    load_stage,
    load_start_weights,
)
from utad_monai.checkpoints.segmenter import Segmenter, load_segmenter, save_segmenter
from utad_monai.checkpoints.torch_file import file_sha256, read_weights_only
from utad_monai.checkpoints.translator import Translator, load_translator, save_translator
from utad_monai.errors import CheckpointError

__all__ = [
    "CheckpointError",
    "Segmenter",
    "Translator",
    "common_preprocessing",
    "critics_for_student",
    "file_sha256",
    "load_segmenter",
    "load_stage",
    "load_start_weights",
    "load_translator",
    "read_translator_content",
    "read_weights_only",
    "save_segmenter",
    "save_translator",
]
