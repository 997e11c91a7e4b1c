from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.brain_box import SETTINGS
from benchmarks.literal import literal_layers
from benchmarks.training_step import SIZES, SWITCHES, Rivals, Role, Side, Size, difference
from utad_monai.networks.blocks import InstanceNorm

TINY = Size(4, 4, 2, (48, 48), (48, 32), (32, 16), 2, 2)


@pytest.mark.parametrize("role", Role)
def test_the_literal_step_is_the_same_mathematics(role: Role) -> None:
    assert difference(TINY, role, torch.float64) < 1e-10


def test_the_comparison_sees_another_mathematics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.literal.mask_tumour", lambda image, mask: image * (1 - mask))
    assert difference(TINY, Role.TEACHER, torch.float64) > 1e-5


def test_the_literal_network_has_the_same_weights_in_plain_layers() -> None:
    ours = Rivals(TINY).generator
    literal = literal_layers(ours)
    assert any(isinstance(module, InstanceNorm) for module in ours.modules())
    assert not any(isinstance(module, InstanceNorm) for module in literal.modules())
    assert not any(getattr(module, "inplace", False) for module in literal.modules())
    for name, value in ours.state_dict().items():
        assert torch.equal(literal.state_dict()[name], value)


def test_a_box_changes_the_size_alone() -> None:
    sides = [side for side in Side if side is not Side.SWITCHED]
    sizes = {side: TINY.of_side(side).image_size for side in sides}
    assert sizes == {Side.OURS: (48, 48), Side.LITERAL: (48, 48), Side.BRAIN_BOX: (48, 32), Side.TIGHT_BOX: (32, 16)}
    for side in sides:
        assert replace(TINY.of_side(side), image_size=(48, 48)) == TINY


def test_the_switched_side_has_the_switches_whose_quality_is_measured() -> None:
    size = SIZES["small"].of_side(Side.SWITCHED)
    assert size.norm_group == SWITCHES["norm_group"]
    assert str(size.game) == SWITCHES["adversarial_game"]


@pytest.mark.parametrize(("name", "box"), [("demo", "brain box"), ("small", "roomy box")])
def test_the_roomy_box_is_the_one_whose_quality_is_measured(name: str, box: str) -> None:
    assert SIZES[name].of_side(Side.SWITCHED).image_size == SETTINGS[name].sides[box]
