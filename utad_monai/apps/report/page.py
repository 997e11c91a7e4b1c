"""Parts of the report page: what it may load, and its pictures."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_NOTHING_ELSE = (
    "default-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "img-src data: blob:",
    "connect-src data: blob:",
    "worker-src blob:",
    "font-src data:",
)
"""The viewer reads the volumes that the page holds, in a worker that it makes itself; nothing is fetched or sent."""


def content_security_policy(scripts: Sequence[str], style: str) -> str:
    """Return a policy under which nothing runs but the given texts: they are named by their hashes.

    Args:
        scripts: the text of every script element, exactly; empty ones do not count.
        style: the text of the style element.
    """
    runs = " ".join(_hash(script) for script in scripts if script)
    return "; ".join((*_NOTHING_ELSE, f"script-src {runs}", f"style-src {_hash(style)}"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

LABEL_STEP = 60
"""Grey levels between two label values, so that a person can read a label sprite too."""


def image_sprite(slices: Tensor) -> str:
    """Return slices `(Z, H, W)` in [-1, 1] as the data URI of one PNG; background is 0, the brightest 255."""
    levels = ((slices.to(torch.float32) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return _data_uri(_montage(levels.numpy()))


def label_sprite(labels: Tensor) -> str:
    """Return canonical labels `(Z, H, W)` as the data URI of one PNG, `LABEL_STEP` grey levels apart."""
    return _data_uri(_montage((labels.to(torch.uint8) * LABEL_STEP).numpy()))


def sprite_columns(slices: int) -> int:
    """Return how many slices lie in each row of a sprite; the last row may not be full."""
    return math.ceil(math.sqrt(slices))


def _montage(
    levels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    count, height, width = levels.shape
    columns = sprite_columns(count)
    rows = math.ceil(count / columns)
    canvas = np.zeros((rows * columns, height, width), np.uint8)
    canvas[:count] = levels
    return canvas.reshape(rows, columns, height, width).transpose(0, 2, 1, 3).reshape(rows * height, columns * width)


def _data_uri(pixels: _Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
