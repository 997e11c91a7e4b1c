"""Rigid registration of one image to another by mutual information, from coarse to fine, the same every time."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.geometry import Matrix, matrix_of

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


LEVELS_MM = (4.0, 2.0, 1.0)
"""Voxel sizes at which the images are compared, one after the other."""
_BINS = 50
_ITERATIONS = 300
_RELAXATION = 0.7
_MOST_FINISHES = 6
_GAIN = 1e-4
"""Information (nats) that makes another search worth while."""
_CLIPPED = (0.1, 99.9)
"""Percentiles outside which intensities are clipped: one bright voxel would squeeze the histogram."""
_EQUAL = 1e-3
"""Information (nats) within which two positions fit equally well: then the scanner's is kept, without interpolation."""
_MARGIN_MM = 12.0
"""The comparison reaches this far beyond the head, so that its surface counts."""


@dataclass(frozen=True)
class _Effort:
    """How hard a search tries: points that are compared, about, and the smallest step in voxels."""

    points: int
    smallest_step: float


_SEARCH = _Effort(points=20_000, smallest_step=1 / 200)
"""Good enough to choose a start and to begin the next level."""
_FINISH = _Effort(points=100_000, smallest_step=1 / 2000)
"""At the last level; with steps five times larger, searches stopped millimetres away."""


@dataclass(frozen=True)
class Registration:
    """Where an image lies relative to the reference.

    Attributes:
        matrix: `(4, 4)` LPS mm, points of the reference to points of the image.
        information_before: mutual information (nats) where the scanner's coordinates put the image; None when the
            images do not overlap there.
        information_after: the same at the result; larger is better.
        start: which initialisation won: `scanner`, `centre` or `moments`.
        improved: whether the search ended at least as well as where the scanner put the image.
    """

    matrix: Matrix
    information_before: float | None
    _: KW_ONLY
    information_after: float
    start: str
    improved: bool


@contextmanager
def one_itk_thread() -> Iterator[None]:
    """Let ITK use one thread inside the block: sums in another order would give other last digits."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def register_rigid(reference: sitk.Image, image: sitk.Image, seed: int = 0) -> Registration:
    """Find the rotation and translation that bring an image onto the reference.

    Mutual information of Mattes et al. (2003) with regular-step gradient descent. Three starts (the scanner's
    coordinates, the middles of both volumes, their centres of mass) are followed at the coarsest level, the best one
    to the finest. When the result fits no better than the scanner's coordinates, those are kept.

    Args:
        reference: float32, any grid.
        image: float32, any grid.
        seed: of the points that are compared.

    Raises:
        RuntimeError: when the images cannot be compared at all (no overlap from any start).
    """
    fixed, moving = _clip(reference), _clip(image)
    with one_itk_thread():
        levels = _levels(fixed, moving)
        mask = _head(levels[0].fixed)
        tried = {
            name: found
            for name, start in _starts(fixed, moving).items()
            if (found := _optimise(levels[0], mask, start, _SEARCH, seed)) is not None
        }
        if not tried:
            raise RuntimeError("the images cannot be compared: they do not overlap, or one of them is empty")
        name = max(tried, key=lambda key: tried[key][1])
        transform = tried[name][0]
        for level in levels[1:]:
            found = _optimise(level, mask, transform, _SEARCH, seed)
            transform = found[0] if found else transform
        transform = _finish(levels[-1], mask, transform, seed)
        before = _information(levels[-1], mask, sitk.Euler3DTransform(), _FINISH, seed)
        after = _information(levels[-1], mask, transform, _FINISH, seed)
    improved = before is None or (after is not None and after > before - _EQUAL)
    if before is not None and (after is None or after < before + _EQUAL):
        return Registration(np.eye(4), before, information_after=before, start="scanner", improved=improved)
    return Registration(matrix_of(transform), before, information_after=after or 0.0, start=name, improved=improved)


def _clip(image: sitk.Image) -> sitk.Image:
    voxels = sitk.GetArrayViewFromImage(image)
    low, high = (float(value) for value in np.percentile(voxels, _CLIPPED))
    if not high > low:
        low, high = float(voxels.min()), float(voxels.max())
    return sitk.Clamp(image, sitk.sitkFloat32, low, high)


@dataclass(frozen=True)
class _Level:
    """Both images at about one voxel size."""

    fixed: sitk.Image
    moving: sitk.Image
    mm: float


def _levels(fixed: sitk.Image, moving: sitk.Image) -> list[_Level]:
    """Return both images at each voxel size, without levels that are finer than the images."""
    levels: list[_Level] = []
    for mm in LEVELS_MM:
        level = _Level(_coarsen(fixed, mm), _coarsen(moving, mm), mm)
        sizes = level.fixed.GetSize(), level.moving.GetSize()
        if not levels or sizes != (levels[-1].fixed.GetSize(), levels[-1].moving.GetSize()):
            levels.append(level)
    return levels


def _coarsen(image: sitk.Image, mm: float) -> sitk.Image:
    """Average along the axes that are finer than `mm`; thick slices keep their number.

    Averages lie in the middle of what they average; picking every second voxel would move the image by half a voxel.
    """
    return sitk.BinShrink(image, [max(1, round(mm / spacing)) for spacing in image.GetSpacing()])


def _head(image: sitk.Image) -> sitk.Image:
    """Return where the reference shows anything, and a margin: air far away only costs time."""
    head = sitk.OtsuThreshold(image, 0, 1)
    radius = [max(1, round(_MARGIN_MM / spacing)) for spacing in image.GetSpacing()]
    return sitk.BinaryDilate(head, radius, sitk.sitkBall)


def _starts(fixed: sitk.Image, moving: sitk.Image) -> dict[str, sitk.Euler3DTransform]:
    scanner = sitk.Euler3DTransform()
    scanner.SetCenter(fixed.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in fixed.GetSize()]))
    initializer = sitk.CenteredTransformInitializerFilter()
    starts = {"scanner": scanner}
    for name, mode in (("centre", initializer.GEOMETRY), ("moments", initializer.MOMENTS)):
        start = sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), mode)
        starts[name] = sitk.Euler3DTransform(start)
    return starts


def _method(level: _Level, mask: sitk.Image, effort: _Effort, seed: int) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricFixedMask(mask)
    method.SetMetricSamplingStrategy(method.RANDOM)
    share = min(1.0, effort.points / level.fixed.GetNumberOfPixels())
    method.SetMetricSamplingPercentage(share, seed + 1)  # seed 0 would be the clock
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _finish(level: _Level, mask: sitk.Image, transform: sitk.Euler3DTransform, seed: int) -> sitk.Euler3DTransform:
    """Search again from where the last search stopped, with long steps, until that finds nothing better.

    The gradient of a skull-stripped pair turns back and forth; each turn shortens the steps, and one search alone can
    come to rest a millimetre away.
    """
    information = -np.inf
    for _ in range(_MOST_FINISHES):
        found = _optimise(level, mask, transform, _FINISH, seed)
        if found is None or found[1] < information + _GAIN:
            break
        transform, information = found
    return transform


def _optimise(
    level: _Level, mask: sitk.Image, start: sitk.Euler3DTransform, effort: _Effort, seed: int
) -> tuple[sitk.Euler3DTransform, float] | None:
    """Follow the gradient from a start; return transform and information, or None when nothing overlaps."""
    method = _method(level, mask, effort, seed)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=level.mm / 2,
        minStep=level.mm * effort.smallest_step,
        numberOfIterations=_ITERATIONS,
        relaxationFactor=_RELAXATION,
        gradientMagnitudeTolerance=1e-8,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    transform = sitk.Euler3DTransform(start)
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(level.fixed, level.moving)
    except RuntimeError:
        return None
    information = _information(level, mask, transform, effort, seed)
    return None if information is None else (transform, information)


def _information(
    level: _Level, mask: sitk.Image, transform: sitk.Transform, effort: _Effort, seed: int
) -> float | None:
    method = _method(level, mask, effort, seed)
    method.SetInitialTransform(transform, inPlace=False)
    try:
        return -float(method.MetricEvaluate(level.fixed, level.moving))
    except RuntimeError:
        return None


# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


_VOXEL_MM = 4.0
"""The field is estimated on voxels of about this size and evaluated on the image's own."""
ITERATIONS = (50, 50)
"""Most iterations at each level of the spline; a third level follows anatomy and flattens oedema."""
_CONTROL_POINTS_MM = 80.0
"""Distance of the spline's control points at the first level; each level halves it."""
_ORDER = 3
_INSIDE = 0.5
_MIN_VOXELS = 1000


def correct_bias(image: sitk.Image, mask: sitk.Image, iterations: Sequence[int] = ITERATIONS) -> sitk.Image:
    """Divide an image by the smooth field that makes the intensities inside a mask most uniform.

    Args:
        image: float32.
        mask: uint8 on the same grid; only its voxels above 0 intensity are looked at.
        iterations: most iterations at each level of the spline.

    Returns:
        The corrected image, float32; unchanged when there is too little to look at.
    """
    used = sitk.And(mask > 0, image > 0)
    factors = [max(1, round(_VOXEL_MM / spacing)) for spacing in image.GetSpacing()]
    coarse = sitk.BinShrink(image, factors)
    coarse_mask = sitk.BinShrink(sitk.Cast(used, sitk.sitkFloat32), factors) > _INSIDE
    if int(sitk.GetArrayViewFromImage(coarse_mask).sum()) < _MIN_VOXELS:
        return image
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(iterations)
    extents = [size * spacing for size, spacing in zip(coarse.GetSize(), coarse.GetSpacing(), strict=True)]
    corrector.SetNumberOfControlPoints([_ORDER + max(1, round(extent / _CONTROL_POINTS_MM)) for extent in extents])
    with one_itk_thread():
        corrector.Execute(coarse, coarse_mask)
        field = corrector.GetLogBiasFieldAsImage(image)
    return sitk.Cast(image / sitk.Exp(field), sitk.sitkFloat32)
