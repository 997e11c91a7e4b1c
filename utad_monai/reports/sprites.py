"""Volumes as pictures that a browser can unpack: every slice side by side in one greyscale PNG."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

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
