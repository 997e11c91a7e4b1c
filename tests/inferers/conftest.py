"""A tiny untrained student, as it comes from its file."""

from __future__ import annotations

import pytest
import torch

from transforms import IntensityWindow
from utad_monai.checkpoints import Translator
from utad_monai.data import Preprocessing
from utad_monai.keys import Modality
from utad_monai.networks import TumourAwareGenerator, student_from_teacher


@pytest.fixture(scope="session")
def student_translator(tiny_preprocessing: Preprocessing) -> Translator:
    """Give a tiny untrained student; do not change it."""
    torch.manual_seed(0)
    student = student_from_teacher(TumourAwareGenerator(2), "complete").eval()
    windows = {modality: IntensityWindow(40.0, 900.0 + modality.channel) for modality in Modality}
    return Translator(student, tiny_preprocessing, windows, sha256="0123456789abcdef")
