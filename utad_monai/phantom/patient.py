"""What makes one teaching patient: pose, ventricles, sulci and tumours, drawn widely."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from utad_monai.phantom.anatomy import load_template

Range = tuple[float, float]
MOST_FOCI = 3
"""Places where one patient's tumours may start."""
LOWEST_MM, HIGHEST_MM = -45.0, 72.0
"""MNI z of the lowest and highest slices, which all show a good deal of brain."""


@dataclass(frozen=True)
class PatientVariation:
    """How widely teaching patients differ; pairs are the ends of a uniform range.

    Attributes:
        scale: relative length of the brain, per axis.
        rotation_degrees: largest rotation about each axis.
        shift_mm: largest shift along each axis.
        displacement_mm: smooth displacement of the template (details of 64 mm).
        fine_displacement_mm: displacement of details of 24 mm: other folds of the cortex.
        sharpening: exponent on the template's tissue fractions, which are an average over many people and so blurred.
        atrophy: standard deviation of the logarithm of CSF's excess.
        ventricles: standard deviation of the growth of the lateral ventricles.
        white_spots: share of patients with bright spots in white matter, as age brings them.
        tumour_fraction: share of slices through a tumour.
        volume_ml: volume of the main focus, log-uniform.
        several_foci: probability of a second focus; a third is three times rarer.
        low_grade: probability that nothing enhances and oedema is little.
        mass_effect: shrinkage of template distances at the centre of a tumour.
        edge: softness of oedema's edge, in radii: infiltration.
        density: share of oedema in its own voxels.
        roughness: standard deviation of a boundary, in radii.
        healthy_tissue: standard deviation of the logarithm of a patient's T1 and T2 of healthy tissue.
        tumour_tissue: the same of tumour tissue.
    """

    scale: float = 0.12
    rotation_degrees: float = 8.0
    _: KW_ONLY
    shift_mm: float = 4.0
    displacement_mm: Range = (1.5, 4.0)
    fine_displacement_mm: Range = (0.0, 1.5)
    sharpening: Range = (1.0, 2.0)
    atrophy: float = 0.3
    ventricles: float = 0.35
    white_spots: float = 0.25
    tumour_fraction: float = 0.7
    volume_ml: Range = (3.0, 150.0)
    several_foci: float = 0.25
    low_grade: float = 0.15
    mass_effect: Range = (0.0, 0.45)
    edge: Range = (0.03, 0.3)
    density: Range = (0.55, 1.0)
    roughness: Range = (0.08, 0.35)
    healthy_tissue: float = 0.05
    tumour_tissue: float = 0.12


@dataclass(frozen=True)
class TeachingPatient:
    """One slice of one patient, before it is painted; arrays of foci have `MOST_FOCI` rows.

    Attributes:
        pose: `(3, 3)`, patient's mm about the brain's centre to the template's.
        shift_mm: `(3,)`, shift in the template.
        slice_mm: MNI z of the slice.
        numbers: scalars by name.
        foci: numbers of each focus by name, `(MOST_FOCI,)` or `(MOST_FOCI, 3)`; `present` is 1 or 0.
        noise_seed: seed of the smooth fields that shape it.
    """

    pose: npt.NDArray[np.float32]
    shift_mm: npt.NDArray[np.float32]
    _: KW_ONLY
    slice_mm: float
    numbers: dict[str, float]
    foci: dict[str, npt.NDArray[np.float32]]
    noise_seed: int


def draw_patient(rng: np.random.Generator, variation: PatientVariation) -> TeachingPatient:
    """Draw a patient and the slice to look at: through a tumour, or anywhere."""
    with_tumour = rng.random() < variation.tumour_fraction
    foci, slice_mm = _draw_foci(rng, variation, with_tumour)
    scale = rng.uniform(1 - variation.scale, 1 + variation.scale) * rng.uniform(0.97, 1.03, size=3)
    numbers = {
        "displacement": rng.uniform(*variation.displacement_mm),
        "fine_displacement": rng.uniform(*variation.fine_displacement_mm),
        "sharpening": rng.uniform(*variation.sharpening),
        "atrophy": float(np.exp(rng.normal() * variation.atrophy)),
        "ventricles": float(np.tanh(rng.normal() * variation.ventricles)),
        "white_spots": rng.uniform(0.2, 1.0) if rng.random() < variation.white_spots else 0.0,
    }
    angles = np.deg2rad(rng.uniform(-variation.rotation_degrees, variation.rotation_degrees, size=3))
    pose = _rotation(angles) @ np.diag(1 / scale)
    shift = rng.uniform(-variation.shift_mm, variation.shift_mm, size=3)
    seed = int(rng.integers(2**62))
    return TeachingPatient(
        pose.astype(np.float32),
        shift.astype(np.float32),
        slice_mm=slice_mm,
        numbers=numbers,
        foci=foci,
        noise_seed=seed,
    )


def _draw_foci(
    rng: np.random.Generator, variation: PatientVariation, with_tumour: bool
) -> tuple[dict[str, npt.NDArray[np.float32]], float]:
    count = 0
    if with_tumour:
        count = 1 + int(rng.random() < variation.several_foci) + int(rng.random() < variation.several_foci / 3)
    sites = _sites_mm()
    drawn: list[dict[str, Any]] = []
    for place in range(MOST_FOCI):
        radius = _radius_mm(np.exp(rng.uniform(*np.log(variation.volume_ml))))
        centre = sites[rng.integers(len(sites))]
        if place:  # further foci are smaller, and mostly near the first
            radius *= rng.uniform(0.3, 0.7)
            near = drawn[0]["centre"] + 0.7 * drawn[0]["radius"] * rng.normal(size=3)
            centre = near if rng.random() < 0.7 else centre
        drawn.append({"present": place < count, "centre": centre, "radius": radius} | _draw_inside(rng, variation))
    slice_mm = rng.uniform(LOWEST_MM, HIGHEST_MM)
    if with_tumour:
        slice_mm = float(drawn[0]["centre"][2] + rng.uniform(-0.85, 0.85) * drawn[0]["radius"])
    foci = {name: np.array([focus[name] for focus in drawn], dtype=np.float32) for name in drawn[0]}
    return foci, float(np.clip(slice_mm, LOWEST_MM, HIGHEST_MM))


def _draw_inside(rng: np.random.Generator, variation: PatientVariation) -> dict[str, Any]:
    """Draw what a focus looks like inside; lengths are in radii."""
    low_grade = rng.random() < variation.low_grade
    fluid = rng.uniform(0.05, 0.85) ** (1 / 3)
    if rng.random() < (0.6 if low_grade else 0.15):
        fluid = 0.0
    non_enhancing = 1.2 if low_grade else (rng.uniform(-1.0, 0.6) if rng.random() < 0.5 else -3.0)
    return {
        "core": rng.uniform(0.4, 1.0) ** (1 / 3) if low_grade else rng.uniform(0.1, 0.85) ** (1 / 3),
        "fluid": fluid,
        "non_enhancing": non_enhancing,
        "stretch": rng.uniform(0.7, 1.35, size=3),
        "aside": rng.uniform(-0.4, 0.4, size=3),
        "mass": rng.uniform(*variation.mass_effect),
        "roughness": rng.uniform(*variation.roughness),
        "edge": rng.uniform(*variation.edge),
        "core_edge": rng.uniform(0.02, 0.1),
        "density": rng.uniform(*variation.density),
        "grey_barrier": rng.uniform(0.1, 0.8),
        "csf_barrier": rng.uniform(1.0, 2.0),
    }


def _radius_mm(volume_ml: float) -> float:
    return float((3 * 1000 * volume_ml / (4 * np.pi)) ** (1 / 3))


@cache
def _sites_mm() -> npt.NDArray[np.float32]:
    """Places in the template's white matter where a tumour may start; `(S, 3)`."""
    template = load_template()
    sites = np.argwhere(template.white > 255 * 0.75)
    sites_mm = (sites @ template.affine[:3, :3].T + template.affine[:3, 3]).astype(np.float32)
    return sites_mm[(sites_mm[:, 2] > -25) & (sites_mm[:, 2] < 60)]


def _rotation(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from scipy.spatial.transform import Rotation

    matrix: npt.NDArray[np.float64] = Rotation.from_euler("xyz", angles).as_matrix()
    return matrix
