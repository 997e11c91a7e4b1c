"""Random generators go on exactly where they were."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Flip, OneOf, RandFlip, RandGaussianNoise, RandRotate90

from utad_monai.runtime.random_state import random_state, restore_random_state, restore_transform_state, transform_state


def draws() -> list[float]:
    return [random.random(), random.gauss(0, 1), float(np.random.rand()), float(np.random.randn()), *torch.rand(2)]


def through_a_file(state: dict[str, object]) -> dict[str, object]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)  # type: ignore[no-any-return]


@pytest.mark.parametrize("drawn_before", [0, 1, 3])
def test_all_global_generators_go_on(drawn_before: int) -> None:
    for _ in range(drawn_before):
        draws()
    state = through_a_file(random_state())
    expected = draws()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert draws() != expected
    restore_random_state(state)
    assert draws() == expected


def make_transforms() -> Compose:
    nested = Compose([RandGaussianNoise(0.7), OneOf([RandFlip(0.5), RandRotate90(0.5)])])
    return Compose([nested, RandFlip(0.5)])


def outputs(transforms: Compose) -> list[torch.Tensor]:
    image = torch.arange(16.0).reshape(1, 4, 4)
    return [torch.as_tensor(transforms(image)).clone() for _ in range(6)]


def test_transforms_with_generators_of_their_own_go_on() -> None:
    transforms = make_transforms().set_random_state(4)
    outputs(transforms)
    state = through_a_file({"transforms": transform_state(transforms)})["transforms"]
    expected = outputs(transforms)
    other = make_transforms().set_random_state(5)
    assert not all(torch.equal(a, b) for a, b in zip(outputs(other), expected, strict=True))
    restore_transform_state(other, state)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(outputs(other), expected, strict=True))


def test_looking_at_transforms_changes_nothing() -> None:
    one, other = make_transforms().set_random_state(4), make_transforms().set_random_state(4)
    transform_state(one)
    assert all(torch.equal(a, b) for a, b in zip(outputs(one), outputs(other), strict=True))


@pytest.mark.parametrize("transform", [None, Flip(), [Flip()]])
def test_nothing_random_has_no_state(transform: object) -> None:
    assert transform_state(transform) == []
    restore_transform_state(transform, [])


def test_the_state_of_other_transforms_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        restore_transform_state(Compose([RandFlip()]), [])
