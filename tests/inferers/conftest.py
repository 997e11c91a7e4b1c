"""A tiny student of several sources, for the tests of inference."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from utad_monai.models import TranslatorModel
from utad_monai.networks import TumourAwareGenerator


@pytest.fixture
def several_translator(student_translator: TranslatorModel, several_generator: TumourAwareGenerator) -> TranslatorModel:
    """Give a tiny student that takes any sources at once, with random weights where a fresh one has zeros."""
    return replace(student_translator, generator=copy.deepcopy(several_generator), source_errors={})
