"""The norm that is written out computes what torch's norm computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from utad_monai.networks.blocks import InstanceNorm
from utad_monai.networks.norms import TwoStepInstanceNorm, with_two_step_norms


@pytest.mark.parametrize("size", [(2, 2), (32, 48), (5, 7)])
def test_norm_equals_torchs(size: tuple[int, int]) -> None:
    features = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)) * 4 + 7
    torch.testing.assert_close(TwoStepInstanceNorm(1e-5)(features), nn.InstanceNorm2d(3)(features), rtol=0, atol=2e-5)


@pytest.mark.parametrize("group", [1, 2, 4])
def test_norm_of_groups_equals_torchs(group: int) -> None:
    features = torch.randn(2, 4, 16, 12, generator=torch.Generator().manual_seed(0)) * 4 + 7
    changed = with_two_step_norms(nn.Sequential(InstanceNorm(4, group)))
    torch.testing.assert_close(changed(features), InstanceNorm(4, group)(features), rtol=0, atol=2e-5)


def test_norm_of_a_constant_plane_is_zero() -> None:
    assert not TwoStepInstanceNorm(1e-5)(torch.full((1, 1, 4, 4), 3.0)).any()


def test_every_norm_is_replaced_in_a_copy_and_the_epsilon_is_kept() -> None:
    network = nn.Sequential(nn.InstanceNorm2d(3, eps=0.5), nn.Sequential(nn.InstanceNorm2d(3)), nn.ReLU())
    changed = with_two_step_norms(network)
    norms = [module for module in changed.modules() if isinstance(module, TwoStepInstanceNorm)]
    assert [norm.epsilon for norm in norms] == [0.5, 1e-5]
    assert not any(isinstance(module, nn.InstanceNorm2d) for module in changed.modules())
    assert isinstance(network[0], nn.InstanceNorm2d)
    assert not changed.training


@pytest.mark.parametrize("switches", [{"affine": True}, {"track_running_stats": True}])
def test_norm_with_weights_or_statistics_is_refused(switches: dict[str, bool]) -> None:
    with pytest.raises(ValueError, match="cannot be written out"):
        with_two_step_norms(nn.Sequential(nn.InstanceNorm2d(3, **switches)))
