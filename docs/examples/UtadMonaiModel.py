"""A model class for the 3D Slicer extension SlicerModalityConverter: one MR image in, one synthetic image out.

Copy this file into the extension's `ModalityConverterLib/ModelsImpl`, and a package's `models/model.onnx` into its
`Resources/Models` as `utad_monai_t1_to_t2_student.onnx` (any two of flair, t1, t1ce and t2). It needs numpy, scipy and
onnxruntime. Images must be skull-stripped (background 0). What comes out is computed, not measured, and not for
clinical use.
"""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import numpy as np
import slicer
from ModalityConverterLib.ModelBase import BaseModel, register_model
from scipy.ndimage import distance_transform_edt

MODALITIES = ("flair", "t1", "t1ce", "t2")
BACKGROUND, BRAIN_FLOOR = -1.0, -1.0 + 2**-7
LPS = np.diag([-1.0, -1.0, 1.0])
BATCH = 8
Array = np.ndarray[Any, Any]


class UtadMonaiModel(BaseModel):  # type: ignore[misc]  # of a library that is in Slicer alone
    """Translate one image by an exported student; source and target stand in the model's key."""

    def _loadModelFromPath(self, modelPath: str) -> Any:  # noqa: N802, N803  (the extension's names)
        import onnxruntime

        session = onnxruntime.InferenceSession(modelPath, providers=["CPUExecutionProvider"])
        about = session.get_modelmeta().custom_metadata_map.get("utad_monai")
        if not about:
            raise ValueError(f"{modelPath} says nothing of its preprocessing: write it with utad-monai package")
        self.description = json.loads(about)["description"]
        return session

    def runInference(  # noqa: N802
        self,
        inputVolume: Any,  # noqa: N803
        outputVolume: Any,  # noqa: N803
        inputMask: Any = None,  # noqa: N803
        showAllFiles: bool = True,  # noqa: ARG002, N803
    ) -> Array:
        """Write the synthetic image into the output volume and return it: `(K, J, I)` as the input, background 0."""
        source, target = self.modelKey.removeprefix("utad_monai_").removesuffix("_student").split("_to_")
        stored = slicer.util.arrayFromVolume(inputVolume)
        volume = stored.astype(np.float32)
        if inputMask is not None:
            volume = np.where(slicer.util.arrayFromVolume(inputMask) > 0, volume, 0)
        if volume.all():
            raise ValueError("the image has no background of 0: skull-strip it, or give a mask")
        axes, spacing = _axes(inputVolume)
        made = _from_lps(self._translate(_to_lps(volume, axes), spacing, source, target), axes)
        slicer.util.updateVolumeFromArray(outputVolume, made)
        outputVolume.CopyOrientation(inputVolume)
        if hasattr(outputVolume, "SetName"):
            outputVolume.SetName(f"SYNTHETIC {target} from {source}")
        slicer.util.resetSliceViews()
        return made

    def _translate(self, volume: Array, spacing: tuple[float, float], source: str, target: str) -> Array:
        """Translate `(Z, Y, X)` in LPS order; spacing is along Y and X in mm."""
        prepared, brain = self.description["preprocessing"], volume != 0
        values = np.sort(volume[brain])
        ranks = (prepared["lower_percentile"], prepared["upper_percentile"])
        lower, upper = (float(values[round(rank / 100 * (len(values) - 1))]) for rank in ranks)
        if not upper > lower:
            raise ValueError("the image is constant inside the brain")
        normalised = ((volume - lower) / (upper - lower) * 2 - 1).clip(BRAIN_FLOOR, 1)
        planes = np.where(brain, normalised, BACKGROUND).astype(np.float32)
        window = _frame(brain, prepared["frame_size_mm"], spacing)
        framed = _resized(_cut(planes, window), tuple(prepared["image_size"]), 0.5)
        made = _resized(self._network(framed, source, target), window[1], 1e-3)
        painted = _filled(_pasted(made, window, planes.shape), brain)
        low, high = self.description.get("target_windows", {}).get(target, (0.0, 1.0))
        return np.where(brain, ((painted + 1) / 2 * (high - low) + low).clip(0), 0).astype(np.float32)

    def _network(self, framed: Array, source: str, target: str) -> Array:
        """Run the network on `(Z, H, W)` in [-1, 1], background exactly -1."""
        (image,) = self.model.get_inputs()
        images = image.shape[1] - len(MODALITIES)
        stacked = np.zeros((len(framed), image.shape[1], *framed.shape[1:]), np.float32)
        stacked[:, :images] = BACKGROUND
        stacked[:, MODALITIES.index(source) if images > 1 else 0] = framed
        stacked[:, images + MODALITIES.index(target)] = 1
        parts = []
        for first in range(0, len(stacked), BATCH):
            parts.append(self.model.run(None, {image.name: stacked[first : first + BATCH]})[0][:, 0])
            self.reportProgress(round(100 * min(1, (first + BATCH) / len(stacked))), "Translating slices")
        return np.where(framed > BACKGROUND, np.concatenate(parts), BACKGROUND)


for pair in permutations(MODALITIES, 2):
    register_model("utad_monai_{}_to_{}_student".format(*pair))(UtadMonaiModel)

Axes = tuple[tuple[int, ...], tuple[int, ...]]
"""Which axis of a stored array each LPS axis (Z, Y, X) is, and which of those run the other way."""
Window = tuple[tuple[int, int], tuple[int, int]]
"""First row and column of a frame, and its numbers of rows and columns."""


def _axes(node: Any) -> tuple[Axes, tuple[float, float]]:
    """Return how a volume is stored, and its spacing along Y and X; 1 mm and LPS order where the node does not say."""
    directions, spacing = LPS, (1.0, 1.0, 1.0)
    if hasattr(node, "GetIJKToRASDirectionMatrix"):
        import vtk

        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASDirectionMatrix(matrix)
        directions = np.array([[matrix.GetElement(row, column) for column in range(3)] for row in range(3)])
        spacing = node.GetSpacing()
    of_world = [int(axis) for axis in np.abs(directions).argmax(axis=1)]  # the stored axis (i, j, k) of each of R, A, S
    signs = [np.sign(directions[world, axis] * LPS[world, world]) for world, axis in enumerate(of_world)]
    order = tuple(2 - of_world[world] for world in (2, 1, 0))
    turned = tuple(place for place, world in enumerate((2, 1, 0)) if signs[world] < 0)
    return (order, turned), (spacing[of_world[1]], spacing[of_world[0]])


def _to_lps(volume: Array, axes: Axes) -> Array:
    return np.ascontiguousarray(np.flip(volume.transpose(axes[0]), axes[1]))


def _from_lps(volume: Array, axes: Axes) -> Array:
    return np.ascontiguousarray(np.flip(volume, axes[1]).transpose(np.argsort(axes[0])))


def _frame(brain: Array, size_mm: tuple[float, float], spacing: tuple[float, float]) -> Window:
    """Centre the frame on the brain's bounding box."""
    size = [max(1, round(mm / step)) for mm, step in zip(size_mm, spacing, strict=True)]
    first = []
    for axis, count in zip((1, 2), size, strict=True):
        inside = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
        first.append((int(inside[0]) + int(inside[-1]) + 1 - count) // 2)
    return (first[0], first[1]), (size[0], size[1])


def _overlap(extent: int, first: int, size: int) -> tuple[slice, slice]:
    start, end = max(0, first), max(0, min(extent, first + size))
    return slice(start, end), slice(start - first, end - first)


def _cut(planes: Array, window: Window) -> Array:
    framed = np.full((len(planes), *window[1]), BACKGROUND, np.float32)
    (rows, to_rows), (columns, to_columns) = map(_overlap, planes.shape[1:], *window)
    framed[:, to_rows, to_columns] = planes[:, rows, columns]
    return framed


def _pasted(framed: Array, window: Window, shape: tuple[int, ...]) -> Array:
    planes = np.full(shape, BACKGROUND, np.float32)
    (rows, from_rows), (columns, from_columns) = map(_overlap, shape[1:], *window)
    planes[:, rows, columns] = framed[:, from_rows, from_columns]
    return planes


def _weights(size: int, wanted: int) -> Array:
    """Return the matrix that resizes linearly, averaging when it shrinks."""
    scale = size / wanted
    centres = (np.arange(wanted) + 0.5) * scale
    distance = np.abs(np.arange(size) + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = (1 - distance).clip(0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _resized(planes: Array, size: tuple[int, int], covered: float) -> Array:
    """Resize `(Z, H, W)` as the mean of its brain pixels; a pixel is brain when `covered` of it is."""
    rows, columns = _weights(planes.shape[1], size[0]), _weights(planes.shape[2], size[1])
    brain = (planes > BACKGROUND).astype(np.float32)
    share = rows @ brain @ columns.T
    total = rows @ ((planes - BACKGROUND) * brain) @ columns.T
    mean = (total / share.clip(1e-6) + BACKGROUND).clip(BRAIN_FLOOR, 1)
    return np.where(share >= covered, mean, BACKGROUND).astype(np.float32)


def _filled(image: Array, brain: Array) -> Array:
    """Give brain that was not painted the value of its nearest painted neighbour."""
    painted = image > BACKGROUND
    if (brain & ~painted).any() and painted.any():
        image = image[tuple(distance_transform_edt(~painted, return_distances=False, return_indices=True))]
    return image.clip(BRAIN_FLOOR, 1)
