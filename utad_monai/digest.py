"""Hashes of what is too long to compare by eye: plain data and weights."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from torch import nn


def digest(content: Any) -> str:
    """Return 16 hexadecimal digits that are the same for the same plain data."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def weights_sha256(network: nn.Module) -> str:
    """Return the SHA-256 of a network's weights and buffers, in hexadecimal: names, shapes, types and every bit."""
    content = hashlib.sha256()
    for name, value in network.state_dict().items():
        content.update(f"{name} {list(value.shape)} {value.dtype}".encode())
        content.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return content.hexdigest()
