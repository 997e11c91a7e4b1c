"""Whether an exported network computes what the student computes, on images of several sizes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from utad_monai.errors import PackageError
from utad_monai.keys import FOUR_MODALITIES
from utad_monai.networks import StudentTranslator, with_target_planes
from utad_monai.transforms import BACKGROUND
from utad_monai.transforms.normalise import BRAIN_FLOOR

TOLERANCE = 1e-4
"""Largest accepted absolute difference from the student in double precision, on [-1, 1]."""
_SEED = 0
_COARSE = 4
"""The probes vary over this many pixels: as smooth as images, as many intensities as noise."""

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Parity:
    """Largest absolute differences on [-1, 1] over all probes.

    Both networks compute with float32 and round. In untrained networks the student's own rounding is as large as the
    difference of the two, so the student in double precision is what decides whether a file is right.

    Attributes:
        from_exact: the exported network from the student in double precision.
        from_student: the exported network from the student as it is.
        student_from_exact: the student as it is from itself in double precision.
    """

    from_exact: float
    from_student: float
    _: KW_ONLY
    student_from_exact: float


def probe(batch: int, height: int, width: int, images: int = 1, modalities: int = len(FOUR_MODALITIES)) -> Tensor:
    """Return `(B, S + M, H, W)` float32: an ellipse of smooth random brain on background, and every target in turn.

    Args:
        batch: number of samples.
        height: of the images, in pixels.
        width: of the images, in pixels.
        images: number S of images of a sample, 1 or M; of several the target and, in turn, others are absent.
        modalities: number M of modalities.
    """
    draw = torch.Generator().manual_seed(_SEED)
    coarse = torch.rand(batch, images, height // _COARSE, width // _COARSE, generator=draw) * 2 - 1
    brain = functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(BRAIN_FLOOR, 1.0)
    rows, columns = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)[None]
    image = torch.where(rows**2 + columns**2 < 0.8, brain, torch.full_like(brain, BACKGROUND))
    targets = torch.arange(batch) % modalities
    if images > 1:
        absent = torch.tensor([_absent(place, place % images, images) for place in range(batch)])
        image = image.masked_fill(absent[:, :, None, None], BACKGROUND)
    return with_target_planes(image, targets, modalities)


def _absent(place: int, target: int, images: int) -> list[bool]:
    """Return which images of a sample are absent: the target, and one set after the other of the rest but never all."""
    others = [channel for channel in range(images) if channel != target]
    missing = place % (2 ** len(others) - 1)
    return [channel == target or bool(missing >> others.index(channel) & 1) for channel in range(images)]


def probe_sizes(image_size: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Yield batch, height and width: the smallest image, the model's own size, both turned round, and larger ones."""
    height, width = image_size
    yield 1, 32, 32
    yield 4, height, width
    yield 3, width, height
    yield 2, height + 16, width + 48
    yield 1, 240, 240


@torch.inference_mode()
def measure_parity(student: StudentTranslator, exported: Network, image_size: tuple[int, int]) -> Parity:
    """Compare an exported network with the student on all probes.

    Args:
        student: the network itself, float32, in evaluation mode.
        exported: maps `(B, S + 4, H, W)` to `(B, 1, H, W)`, float32.
        image_size: height and width that the student was trained with.
    """
    exact = copy.deepcopy(student).double()
    distances = []
    for size in probe_sizes(image_size):
        stacked = probe(*size, student.image_channels, student.modalities)
        wanted, true, found = student(stacked), exact(stacked.double()), exported(stacked)
        pairs = ((found, true), (found, wanted), (wanted, true))
        distances.append([_distance(one, other) for one, other in pairs])
    from_exact, from_student, student_from_exact = (max(column) for column in zip(*distances, strict=True))
    return Parity(from_exact, from_student, student_from_exact=student_from_exact)


def checked_parity(student: StudentTranslator, exported: Network, image_size: tuple[int, int], what: str) -> Parity:
    """Return how equal an exported network is, as `measure_parity` does, when it is equal enough.

    Raises:
        PackageError: when it is further than `TOLERANCE` from the student in double precision.
    """
    parity = measure_parity(student, exported, image_size)
    if not parity.from_exact <= TOLERANCE:
        found = f"{what} differs from the student by {parity.from_exact:.1e}, more than {TOLERANCE:.0e}"
        raise PackageError("", found, "write the package without it")
    return parity


def _distance(one: Tensor, other: Tensor) -> float:
    """Return the largest absolute difference; infinite when shapes differ or a value is not finite."""
    if one.shape != other.shape or not bool(torch.isfinite(one).all()):
        return float("inf")
    return float((one - other).abs().max())
