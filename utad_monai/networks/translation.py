"""What one pass of the generator gives."""

# no `from __future__ import annotations`: TorchScript reads the types of a tuple's fields, not their text
from typing import NamedTuple

from torch import Tensor


class Translation(NamedTuple):
    """What one pass of the generator gives.

    Attributes:
        image: `x^`, `(B, 1, H, W)` in [-1, 1].
        tumour_image: `t^`, the same shape and range; None where the scheme has no tumour decoder or it was not run.
        bottleneck: `f`, the fused features `(B, 16F, H/16, W/16)`.
    """

    image: Tensor
    tumour_image: Tensor | None
    bottleneck: Tensor
