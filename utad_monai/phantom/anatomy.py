"""The phantom's healthy anatomy: the MNI152 template, deformed into another person's brain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.uint8]

BOX_MM = np.array([192.0, 224.0, 192.0])
"""Field of view, large enough for every patient's brain; a multiple of 16 voxels at 1 and at 2 mm."""
BOX_CENTRE_MM = np.array([0.0, -17.0, 5.0])
"""Centre of the template's brain in MNI space (RAS)."""


@dataclass(frozen=True)
class AnatomyVariation:
    """How far patients depart from the template; ranges are uniform and symmetric about it."""

    scale: float = 0.08
    """Relative, per axis."""
    rotation_degrees: float = 6.0
    """Per axis."""
    _: KW_ONLY
    shift_mm: float = 4.0
    """Per axis."""
    displacement_mm: float = 3.0
    """Standard deviation of the smooth displacement."""
    displacement_knots_mm: float = 32.0
    """Distance of its control points."""
    sulci: float = 0.35
    """Standard deviation of the logarithm of the local excess of CSF."""
    sulci_knots_mm: float = 10.0
    """Distance of its control points."""
    sharpening: float = 1.6
    """Exponent on the template's tissue fractions, which are an average over many people and thus blurred."""


ANATOMY = AnatomyVariation()


@dataclass(frozen=True, eq=False)
class Template:
    """Probability maps of MNI152 at 1 mm, `(197, 233, 189)`, stored as 0 to 255: a quarter of the memory."""

    grey: LabelArray
    white: LabelArray
    _: KW_ONLY
    brain: LabelArray
    affine: npt.NDArray[np.float64]
    """`(4, 4)`, voxels to mm."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """A lesion before it has a shape: where it starts and how it pushes the brain aside."""

    centre_mm: FloatArray
    """`(3,)`, in the template."""
    radius_mm: float
    """Of the sphere of the same volume."""
    _: KW_ONLY
    mass_effect: float
    """Shrinkage of template distances at the centre, 0 (none) to below 1."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A patient's brain of N voxels."""

    brain: BoolArray
    """`(X, Y, Z)`."""
    tissue: FloatArray
    """`(3, N)`, fractions of CSF, grey and white matter; columns sum to 1."""
    _: KW_ONLY
    from_lesion_mm: FloatArray
    """`(3, N)`, offset from the lesion's centre, in mm of the template."""


@cache
def load_template() -> Template:
    """Load the template that nilearn ships in its package (nothing is downloaded); about 2 s, once per process."""
    from nilearn import datasets  # here, because the import alone takes a second

    images = (
        datasets.load_mni152_gm_template(resolution=1),
        datasets.load_mni152_wm_template(resolution=1),
        datasets.load_mni152_brain_mask(resolution=1),
    )
    grey, white, brain = (np.rint(255 * image.get_fdata(dtype=np.float32)).astype(np.uint8) for image in images)
    return Template(grey, white, brain=brain, affine=np.asarray(images[0].affine, dtype=np.float64))


def box_shape(spacing_mm: float) -> tuple[int, int, int]:
    """Voxels of the field of view at an isotropic spacing."""
    x, y, z = (int(extent / spacing_mm) for extent in BOX_MM)
    return x, y, z


def box_affine(spacing_mm: float) -> npt.NDArray[np.float64]:
    """Voxels in LPS order, as BraTS ships them, to RAS world coordinates in mm; `(4, 4)`."""
    direction = np.array([-1.0, -1.0, 1.0])
    affine = np.diag([*(direction * spacing_mm), 1.0])
    affine[:3, 3] = BOX_CENTRE_MM - direction * (BOX_MM - spacing_mm) / 2
    return affine


def smooth_field(spacing_mm: float, knots_mm: float, rng: np.random.Generator) -> FloatArray:
    """Smooth Gaussian random field of mean 0 and variance 1, the same at every spacing.

    Args:
        spacing_mm: Isotropic voxel size.
        knots_mm: Distance of the control points; details are about twice as long.
        rng: Source of their values.

    Returns:
        `(X, Y, Z)`.
    """
    weights = []
    for extent in BOX_MM:
        knots = np.arange(-knots_mm, extent + 2 * knots_mm, knots_mm)
        positions = np.arange(spacing_mm / 2, extent, spacing_mm)[:, None]
        weight = np.exp(-(((positions - knots) / knots_mm) ** 2))
        weights.append((weight / np.linalg.norm(weight, axis=1, keepdims=True)).astype(np.float32))
    field = rng.standard_normal([weight.shape[1] for weight in weights], dtype=np.float32)
    for weight in weights:  # each pass interpolates the first axis and moves it to the end
        field = np.einsum("ijk,ai->jka", field, weight)
    return np.ascontiguousarray(field)


def deform_template(lesion: Lesion, spacing_mm: float, rng: np.random.Generator, brain_size: float = 1.0) -> Anatomy:
    """Make a patient's brain; the lesion displaces tissue, but not the skull.

    Args:
        lesion: What pushes.
        spacing_mm: Isotropic voxel size of the result.
        rng: Source of pose, displacement and sulci.
        brain_size: Length of the mean patient's brain, in lengths of the template's.
    """
    template = load_template()
    to_voxels = np.linalg.inv(template.affine)
    points = _patient_to_template(spacing_mm, rng, brain_size)
    brain = _sample(template.brain, _transform(to_voxels, points)) > 0.5
    inside = points[:, brain]
    offset = inside - lesion.centre_mm[:, None]
    push = lesion.mass_effect * np.exp(-0.5 * (offset**2).sum(axis=0) / lesion.radius_mm**2)
    voxels = _transform(to_voxels, inside - push * offset)
    grey, white = _sample(template.grey, voxels), _sample(template.white, voxels)
    sulci = np.exp(ANATOMY.sulci * smooth_field(spacing_mm, ANATOMY.sulci_knots_mm, rng)[brain])
    tissue = np.stack([sulci * np.clip(1 - grey - white, 0, 1), grey, white]) ** ANATOMY.sharpening
    return Anatomy(brain, tissue / tissue.sum(axis=0), from_lesion_mm=offset)


def _patient_to_template(spacing_mm: float, rng: np.random.Generator, brain_size: float) -> FloatArray:
    """Where in the template, in mm, a patient's voxels lie: affine, then displacement; `(3, X, Y, Z)`."""
    axes = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in box_shape(spacing_mm)), indexing="ij", sparse=True)
    points = _transform(_random_pose(rng, brain_size) @ box_affine(spacing_mm), axes)
    for axis in points:
        axis += ANATOMY.displacement_mm * smooth_field(spacing_mm, ANATOMY.displacement_knots_mm, rng)
    return points


def _random_pose(rng: np.random.Generator, brain_size: float) -> npt.NDArray[np.float64]:
    """Scale, rotate and shift about the centre of the brain; mm to mm, `(4, 4)`."""
    degrees = rng.uniform(-ANATOMY.rotation_degrees, ANATOMY.rotation_degrees, size=3)
    scale = brain_size * rng.uniform(1 - ANATOMY.scale, 1 + ANATOMY.scale, size=3)
    shift = rng.uniform(-ANATOMY.shift_mm, ANATOMY.shift_mm, size=3)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ np.diag(1 / scale)
    pose[:3, 3] = BOX_CENTRE_MM + shift - pose[:3, :3] @ BOX_CENTRE_MM
    return pose


def _transform(matrix: npt.NDArray[np.floating[Any]], axes: Sequence[FloatArray] | FloatArray) -> FloatArray:
    """Affine transform of points whose three coordinates may be broadcast; returns `(3, ...)`."""
    m = matrix.astype(np.float32)
    return np.stack([m[i, 0] * axes[0] + m[i, 1] * axes[1] + m[i, 2] * axes[2] + m[i, 3] for i in range(3)])


def _sample(stored: LabelArray, voxels: FloatArray) -> FloatArray:
    """Linear interpolation of a map of the template at `(3, ...)` voxel coordinates; 0 to 1, 0 outside."""
    values = ndimage.map_coordinates(stored, voxels, output=np.float32, order=1)
    return np.asarray(values / np.float32(255), dtype=np.float32)
