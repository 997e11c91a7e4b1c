"""The numbers that a training computes in: float32, or half of it with a loss that is scaled."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from utad_monai.keys import AutocastType


class TrainingPrecision:
    """Autocast forward passes, and backward passes that keep small gradients above float16's smallest number.

    Args:
        amp: the type of convolutions and products; weights and losses stay float32.
        device_type: where it computes, such as `cpu` or `cuda`.

    Raises:
        ValueError: when the type is unknown.
    """

    def __init__(self, amp: AutocastType | str = AutocastType.NONE, device_type: str = "cpu") -> None:
        self.amp = AutocastType(amp)
        self._device_type = device_type
        self._dtype = torch.float16 if self.amp is AutocastType.FLOAT16 else torch.bfloat16
        self._scaler = torch.amp.GradScaler(device_type, enabled=self.amp is AutocastType.FLOAT16)

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute in the type while a block runs."""
        return torch.autocast(self._device_type, self._dtype, enabled=self.amp is not AutocastType.NONE)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a scalar loss, scaled."""
        self._scaler.scale(loss).backward()

    def step(self, optimizer: Optimizer) -> None:
        """Let an optimiser step on its gradients, without the scale; steps with infinite ones are left out."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return the scale and its growth; nothing where there is none."""
        return dict(self._scaler.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with an earlier scale."""
        if state_dict:
            self._scaler.load_state_dict(state_dict)
