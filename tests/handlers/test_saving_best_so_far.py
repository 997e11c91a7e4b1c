"""The best validation is remembered, whatever was measured first, and its model must be there."""

from __future__ import annotations

from math import nan
from pathlib import Path

import pytest

from utad_monai.handlers.saving import BestSoFar


@pytest.mark.parametrize(
    ("values", "better"),
    [
        ([0.5, 0.4, 0.5, 0.6], [True, False, False, True]),
        ([nan, 0.1, nan, 0.2], [True, True, False, True]),
        ([-3.0, -2.0], [True, True]),
    ],
)
def test_only_greater_values_are_better_and_any_number_is_better_than_nan(
    values: list[float], better: list[bool]
) -> None:
    best = BestSoFar("model.safetensors")
    assert [best.is_better(value) for value in values] == better


def test_a_resumed_run_goes_on_with_the_value(tmp_path: Path) -> None:
    earlier, later = BestSoFar(tmp_path / "model.safetensors"), BestSoFar(tmp_path / "model.safetensors")
    later.load_state_dict(earlier.state_dict())
    assert later.best is None
    earlier.is_better(0.5)
    earlier.path.touch()
    later.load_state_dict(earlier.state_dict())
    assert not later.is_better(0.4)


def test_a_value_without_its_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the best model so far, .*model\.safetensors, is missing"):
        BestSoFar(tmp_path / "model.safetensors").load_state_dict({"best": 0.5})


def test_a_run_of_an_earlier_version_goes_on_with_its_model(tmp_path: Path) -> None:
    (tmp_path / "model.pt").touch()
    later = BestSoFar(tmp_path / "model.safetensors")
    later.load_state_dict({"best": 0.5})
    assert not later.is_better(0.4)
