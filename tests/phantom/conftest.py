"""Teaching patients, drawn once, and a slice that shows every tissue pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from utad_monai.phantom.acquisition import TeachingTissue
from utad_monai.phantom.patient import PatientVariation, TeachingPatient, draw_patient

DrawPatients = Callable[..., list[TeachingPatient]]


@pytest.fixture
def draw_patients() -> DrawPatients:
    """Give `draw_patients(count, seed=0, **variation)`, which draws patients of a variation."""
    return _draw_patients


@pytest.fixture
def strips() -> tuple[Tensor, Tensor]:
    """Fractions `(8, 20, 16)` and brain `(20, 16)`: strips of two rows, one of each tissue, then background."""
    fractions = torch.zeros(len(TeachingTissue), 20, 16)
    for tissue in TeachingTissue:
        fractions[tissue, 2 * tissue : 2 * tissue + 2] = 1
    return fractions, fractions.sum(dim=0) > 0


def _draw_patients(count: int, seed: int = 0, **variation: object) -> list[TeachingPatient]:
    drawn = replace(PatientVariation(), **variation)  # type: ignore[arg-type]
    return [draw_patient(np.random.default_rng((seed, place)), drawn) for place in range(count)]
