"""Tiny starter weights, as a phantom's teaching leaves them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from utad_monai import starter
from utad_monai.checkpoints import Translator
from utad_monai.keys import Modality, SecondInput
from utad_monai.networks import TumourAwareGenerator
from utad_monai.starter import STARTER_FILE, save_starter


@pytest.fixture
def starter_file(student_translator: Translator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file of tiny starter weights, which stands for the packaged one during the test."""
    torch.manual_seed(0)
    generator = TumourAwareGenerator(
        2, "global_only", SecondInput.WHOLE_IMAGE, sources="several", conditional_norms=True, gain_head=True
    )
    with torch.no_grad():
        for weight in generator.parameters():
            if not bool(weight.any()):
                weight.normal_(0, 0.1)
    histograms = dict.fromkeys(Modality, (1 / 256,) * 256)
    taught = replace(
        student_translator,
        generator=generator.eval(),
        source_errors={},
        intensity_profiles={},
        reference_histograms=histograms,
        training={"seed": 7},
    )
    folder = tmp_path / "packaged"
    save_starter(folder / STARTER_FILE, taught, taught.preprocessing)
    monkeypatch.setattr(starter, "__file__", str(folder / "__init__.py"))
    return folder / STARTER_FILE
