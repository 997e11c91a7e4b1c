"""Real tiny cases, a tiny translator and a validator, for the handlers that look at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from utad_monai.data import EvaluationCases, PreparedCohort, single_case
from utad_monai.engines import TranslationValidator
from utad_monai.inferers import SliceTranslator
from utad_monai.networks import TumourAwareGenerator, student_from_teacher


@pytest.fixture
def validation_cases(prepared_tiny_cohort: PreparedCohort) -> EvaluationCases:
    """Give the complete validation cases of the tiny cohort."""
    return EvaluationCases(prepared_tiny_cohort.store, prepared_tiny_cohort.complete_cases("validation"))


@pytest.fixture
def translator() -> SliceTranslator:
    """Give a tiny untrained student."""
    torch.manual_seed(0)
    return SliceTranslator(student_from_teacher(TumourAwareGenerator(2), "complete"))


@pytest.fixture
def make_validator(validation_cases: EvaluationCases, translator: SliceTranslator) -> Callable[..., Any]:
    """Give `make_validator(handlers)`: a validator of the tiny translator."""

    def _make(*handlers: Any) -> TranslationValidator:
        loader = DataLoader(validation_cases, batch_size=1, collate_fn=single_case)  # type: ignore[arg-type]
        return TranslationValidator("cpu", loader, translator=translator, val_handlers=handlers)

    return _make
