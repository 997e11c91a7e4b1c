"""Whether an exported network computes what the student computes, on images of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from transforms import BACKGROUND
from transforms.normalise import BRAIN_FLOOR
from utad_monai.keys import Modality
from utad_monai.networks import one_hot_planes
from utad_monai.packaging.errors import PackageError

TOLERANCE = 1e-4
"""Largest accepted absolute difference of two images on [-1, 1]."""
_SEED = 0
_COARSE = 4
"""The probes vary over this many pixels: as smooth as images, as many intensities as noise."""

Network = Callable[[Tensor], Tensor]


def probe(batch: int, height: int, width: int) -> Tensor:
    """Return `(B, 5, H, W)` float32: an ellipse of smooth random brain on background, and every target in turn."""
    draw = torch.Generator().manual_seed(_SEED)
    coarse = torch.rand(batch, 1, height // _COARSE, width // _COARSE, generator=draw) * 2 - 1
    brain = functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(BRAIN_FLOOR, 1.0)
    rows, columns = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)[None]
    image = torch.where(rows**2 + columns**2 < 0.8, brain, torch.full_like(brain, BACKGROUND))
    targets = torch.arange(batch) % len(Modality)
    return torch.cat([image, one_hot_planes(targets, image)], dim=1)


def probe_sizes(image_size: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Yield batch, height and width: the smallest image, the model's own size, both turned round, and larger ones."""
    height, width = image_size
    yield 1, 32, 32
    yield 4, height, width
    yield 3, width, height
    yield 2, height + 16, width + 48
    yield 1, 240, 240


@torch.inference_mode()
def largest_difference(student: nn.Module, exported: Network, image_size: tuple[int, int]) -> float:
    """Return the largest absolute difference of the two networks over all probes, on [-1, 1].

    Args:
        student: the network itself, in evaluation mode.
        exported: maps `(B, 5, H, W)` to `(B, 1, H, W)`.
        image_size: height and width that the student was trained with.
    """
    differences = []
    for size in probe_sizes(image_size):
        stacked = probe(*size)
        wanted, found = student(stacked), exported(stacked)
        same_shape = wanted.shape == found.shape and bool(torch.isfinite(found).all())
        differences.append(float((wanted - found).abs().max()) if same_shape else float("inf"))
    return max(differences)


def checked_difference(student: nn.Module, exported: Network, image_size: tuple[int, int], what: str) -> float:
    """Return the largest difference, as `largest_difference` does, when it is small enough.

    Raises:
        PackageError: when it is above `TOLERANCE`: nothing is left behind then.
    """
    difference = largest_difference(student, exported, image_size)
    if not difference <= TOLERANCE:
        remedy = "leave that file out, or report the model's width and size"
        raise PackageError(f"{what} differs from the student by {difference:.1e}, more than {TOLERANCE:.0e}; {remedy}")
    return difference
