"""A network is filled with weights that are exactly its own, and a small file cannot ask for much memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from utad_monai.checkpoints import CheckpointError
from utad_monai.checkpoints.filling import fill, filled


def build() -> nn.Linear:
    return nn.Linear(3, 2)


def test_weights_come_back_and_nothing_random_is_drawn() -> None:
    weights, before = build().state_dict(), torch.get_rng_state()
    network = filled("f", build, weights)
    assert torch.equal(network.weight, weights["weight"])
    assert network.weight.requires_grad
    assert not network.training
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bias": None}, "missing weight bias"),
        ({"more": torch.zeros(1)}, "unexpected weight 'more'"),
        ({"bias": torch.zeros(3)}, r"size mismatch of bias: \(3,\) float32 instead of \(2,\) float32"),
        ({"bias": torch.zeros(2, dtype=torch.float64)}, "size mismatch of bias"),
        ({"bias": torch.zeros(2, device="meta")}, "bias is no plain tensor"),
        ({"bias": torch.zeros(2).to_sparse()}, "bias is no plain tensor"),
        ({"bias": "zero"}, "bias is no plain tensor"),
        ({"weight": torch.zeros(1).expand(2, 3)}, "share their memory"),
        ({"bias": torch.tensor([0.0, torch.nan])}, r"NaN or infinite \(bias\)"),
    ],
)
def test_other_weights_are_refused_with_a_reason(change: dict[str, Tensor | None], reason: str) -> None:
    weights = {name: value for name, value in {**build().state_dict(), **change}.items() if value is not None}
    network = build()
    before = network.weight.clone()
    with pytest.raises(CheckpointError, match=reason):
        filled("f", build, weights)
    with pytest.raises(CheckpointError, match=reason):
        fill("f", network, weights)
    assert torch.equal(network.weight, before)


def test_network_is_not_given_memory_before_the_weights_fit() -> None:
    with pytest.raises(CheckpointError, match="size mismatch"):
        filled("f", lambda: nn.Linear(10**7, 10**6), build().state_dict())
