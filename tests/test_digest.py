"""Hashes tell apart what differs in a single bit, and nothing else."""

from __future__ import annotations

import torch
from torch import nn

from utad_monai.digest import digest, weights_sha256


def test_plain_data_has_one_digest() -> None:
    assert digest([1, ("a", 2.5)]) == digest((1, ["a", 2.5]))
    assert digest([1, "a"]) != digest([1, "b"])
    assert len(digest("")) == 16


def test_a_single_bit_of_a_weight_counts() -> None:
    network, same = nn.Linear(3, 2), nn.Linear(3, 2)
    same.load_state_dict(network.state_dict())
    assert weights_sha256(network) == weights_sha256(same)
    with torch.no_grad():
        same.bias.view(torch.int32)[0] ^= 1
    assert weights_sha256(network) != weights_sha256(same)


def test_buffers_and_memory_formats() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = weights_sha256(network)
    assert weights_sha256(network.to(memory_format=torch.channels_last)) == before
    network[1].running_mean += 1  # type: ignore[operator]
    assert weights_sha256(network) != before
