"""Conditioning by norms: what the network is told of source and target, as scales and shifts of its channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from utad_monai.keys import Modality

SUBSETS = 2 ** len(Modality)
"""Sets of modalities that may be there, the empty one included."""
CODES = len(Modality) * SUBSETS
"""Conditions: a target modality and the set of modalities that the translation starts from."""


class Modulation(nn.Module):
    """A scale and a shift of each channel per condition (conditional InstanceNorm, Dumoulin et al. 2017).

    InstanceNorm takes constant planes away: a condition that is given by planes hardly passes it, one that comes
    after it does. All scales are 1 and all shifts 0 at the start.

    Args:
        codes: number of conditions.
        channels: channels C of the features.
    """

    def __init__(self, codes: int, channels: int) -> None:
        super().__init__()
        self.table = nn.Embedding(codes, 2 * channels)
        nn.init.zeros_(self.table.weight)

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """Return `(B, C, H, W)` of the same shape; `code` `(B,)` int64."""
        scale, shift = self.table(code)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, features, 1 + scale)


def present_modalities(images: Tensor, background: float) -> Tensor:
    """Return `(B, 4)` bool: which channels of `(B, 4, H, W)` show any brain; the others are absent."""
    return images.amax(dim=(2, 3)) > background


def condition_code(target_modality: Tensor, present: Tensor) -> Tensor:
    """Return `(B,)` int64 in [0, `CODES`): target `(B,)` int64 and present modalities `(B, 4)` bool as one number."""
    code = target_modality * (1 << present.shape[1])
    for place in range(present.shape[1]):  # ONNX knows no shift of tensors
        code = code + present[:, place].to(torch.int64) * (1 << place)
    return code
