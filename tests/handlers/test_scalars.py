"""TensorBoard gets plain names and floats."""

from __future__ import annotations

import torch

from utad_monai.handlers import scalars
from utad_monai.keys import LossTerm, OutputKey


def test_names_and_values_are_plain() -> None:
    output = scalars({OutputKey.LOSS: torch.tensor(1.5), LossTerm.CYCLE: 2})  # type: ignore[dict-item]
    assert output == {"loss": 1.5, "generator/cycle": 2.0}
    assert {type(name) for name in output} == {str}
    assert {type(value) for value in output.values()} == {float}
