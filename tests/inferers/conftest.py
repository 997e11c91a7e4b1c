"""A tiny student of several sources, for the tests of inference."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from utad_monai.checkpoints import Translator
from utad_monai.keys import SecondInput
from utad_monai.networks import TumourAwareGenerator


@pytest.fixture
def several_translator(student_translator: Translator) -> Translator:
    """Give a tiny student that takes any sources at once, with random weights where a fresh one has zeros."""
    torch.manual_seed(0)
    generator = TumourAwareGenerator(
        2, "global_only", SecondInput.WHOLE_IMAGE, sources="several", conditional_norms=True, gain_head=True
    )
    with torch.no_grad():
        for weight in generator.parameters():
            if not bool(weight.any()):
                weight.normal_(0, 0.3)
    return replace(student_translator, generator=generator.eval(), source_errors={})
