"""Tiny evaluation cases, shared by the tests of the engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from utad_monai.data import single_case
from utad_monai.keys import BatchKey, Modality

EvaluationCase = dict[str, Any]
Images = Mapping[Modality, Tensor]
STEP = 0.45
"""Distance in intensity between the modalities of `evaluation_case`."""


@pytest.fixture
def evaluation_case() -> Callable[..., EvaluationCase]:
    """Give `evaluation_case(case_id, modalities, seed)`: one texture, every modality on its own intensity level."""
    return _evaluation_case


@pytest.fixture
def case_loader() -> Callable[[Sequence[EvaluationCase]], DataLoader[Any]]:
    """Give a loader of whole cases, the way the bundles make it."""
    return lambda cases: DataLoader(list(cases), batch_size=1, collate_fn=single_case)  # type: ignore[arg-type]


@pytest.fixture
def perfect_translator() -> Callable[..., Tensor]:
    """Give a translator that knows how the modalities of `evaluation_case` differ, up to rounding."""
    return _perfect


def _evaluation_case(
    case_id: str = "case", modalities: Sequence[Modality] = tuple(Modality), seed: int = 0
) -> EvaluationCase:
    draw = torch.Generator().manual_seed(seed)
    texture = torch.rand(4, 20, 20, generator=draw) * 0.3
    brain = torch.zeros(4, 20, 20, dtype=torch.bool)
    brain[1:, 3:17, 3:17] = True
    label = torch.zeros(3, 4, 20, 20)
    label[0, 1:3, 5:11, 5:11] = 1
    label[1, 1:3, 6:10, 6:10] = 1
    label[2, 1:3, 7:9, 7:9] = 1
    images = {m: torch.where(brain, texture + _level(m), torch.tensor(-1.0)) for m in modalities}
    return {
        BatchKey.CASE_ID: case_id,
        BatchKey.IMAGE: images,
        BatchKey.LABEL: label,
        BatchKey.SPACING_MM: (2.0, 1.0, 1.0),
    }


def _level(modality: Modality) -> float:
    return -0.9 + STEP * modality.channel


def _perfect(images: Images, target: Modality, _mask: Tensor | None = None) -> Tensor:
    (slices,) = images.values()
    brain = slices > -1
    if not bool(brain.any()):
        return slices.clone()
    source = int((slices[brain].mean() + 0.9) // STEP)
    return torch.where(brain, slices + STEP * (target.channel - source), slices)
