"""A tiny student of several sources, for the tests of inference."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from utad_monai.checkpoints import Translator
from utad_monai.networks import TumourAwareGenerator


@pytest.fixture
def several_translator(student_translator: Translator, several_generator: TumourAwareGenerator) -> Translator:
    """Give a tiny student that takes any sources at once, with random weights where a fresh one has zeros."""
    return replace(student_translator, generator=copy.deepcopy(several_generator), source_errors={})
