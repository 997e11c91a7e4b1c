"""One picture per case: three planes of every prepared image with the reference's edges on top."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage

from utad_monai.atomic import atomic_path
from utad_monai.preparation.case_preparation import PreparedCase
from utad_monai.preparation.grids import array_of

_INCHES = 2.6
_DPI = 90
_MARGIN = 6
"""Voxels around the brain that are shown."""
_EDGE_QUANTILES = (0.75, 0.9)
"""Gradients of the brain above which edges go on, and begin."""
_EDGE_COLOUR = (1.0, 0.75, 0.0, 0.8)
_OUTLINE_COLOUR = "#35c9ff"
_PLANES = ("sagittal", "coronal", "axial")

Volume = npt.NDArray[Any]


def write_picture(path: Path, case: PreparedCase) -> Path:
    """Draw a row for each modality: where edges (orange) do not follow the tissue, the registration failed.

    Args:
        path: PNG file.
        case: a prepared case.
    """
    whole = array_of(case.brain) > 0
    box = _box(whole) if whole.any() else (slice(None),) * 3
    brain, edges = whole[box], _edges(case.images[case.reference], whole)[box]
    centre = [length // 2 for length in brain.shape]
    figure = Figure(figsize=(3 * _INCHES, len(case.images) * _INCHES), layout="constrained", facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(case.images), 3, squeeze=False)
    for row, (modality, image) in zip(axes, case.images.items(), strict=True):
        volume = array_of(image)[box]
        high = float(np.percentile(volume[brain], 99.5)) if brain.any() else float(volume.max())
        for axis, plane in enumerate(row):
            _draw(plane, [_slice(v, axis, centre[axis]) for v in (volume, edges, brain)], high, case.grid.matrix, axis)
            mark = " (reference)" if modality == case.reference else ""
            plane.set_title(f"{modality}{mark}, {_PLANES[axis]}", color="white", fontsize=8)
    if case.mask.rough:
        figure.suptitle("ROUGH brain mask (threshold and morphology)", color="#ff6b6b", fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, metadata={"Software": None})
    return path


def _edges(reference: sitk.Image, brain: Volume) -> Volume:
    """Return the thin lines of the strongest edges (Canny) of the reference inside the brain, `(X, Y, Z)` bool."""
    gradient = array_of(sitk.GradientMagnitudeRecursiveGaussian(reference, 1.0))
    inner = ndimage.binary_erosion(brain, iterations=3)
    if not inner.any():
        return np.zeros_like(brain)
    weak, strong = (float(value) for value in np.quantile(gradient[inner], _EDGE_QUANTILES))
    lines: Volume = inner & (array_of(sitk.CannyEdgeDetection(reference, weak, strong, [1.0] * 3)) > 0)
    return lines


def _box(brain: Volume) -> tuple[slice, ...]:
    """Return the smallest box around the brain, and a margin."""
    box = ndimage.find_objects(brain.astype(np.uint8))
    return tuple(slice(max(0, side.start - _MARGIN), side.stop + _MARGIN) for side in box[0])


def _slice(volume: Volume, axis: int, index: int) -> Volume:
    return np.take(volume, index, axis=axis).T


def _draw(plane: Any, slices: list[Volume], high: float, affine: Volume, axis: int) -> None:
    image, edges, brain = slices
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    across, up = [other for other in range(3) if other != axis]
    origin = "upper" if axis == 2 else "lower"  # LPS: the third axis grows upwards, the second to the back
    aspect = spacing[up] / spacing[across]
    plane.imshow(image, cmap="gray", vmin=0, vmax=max(high, 1e-6), origin=origin, aspect=aspect)
    overlay = np.zeros((*edges.shape, 4))
    overlay[edges] = _EDGE_COLOUR
    plane.imshow(overlay, origin=origin, aspect=aspect, interpolation="nearest")
    if brain.any() and not brain.all():
        plane.contour(brain, [0.5], colors=[_OUTLINE_COLOUR], linewidths=0.7, origin=None)
    plane.set_axis_off()
