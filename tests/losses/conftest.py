"""An image that the tests of the losses share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor


@pytest.fixture
def image() -> Tensor:
    """`(2, 1, 16, 16)` in [-1, 1]."""
    torch.manual_seed(0)
    return torch.rand(2, 1, 16, 16) * 2 - 1
