"""The phantom's tumour: oedema, enhancing rim and necrotic core, grown from a seed in white matter."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cache

import numpy as np
from scipy import ndimage

from utad_monai.phantom.anatomy import (
    Anatomy,
    BoolArray,
    FloatArray,
    LabelArray,
    Lesion,
    load_template,
    smooth_field,
)

BRATS_NECROSIS, BRATS_OEDEMA, BRATS_ENHANCING = 1, 2, 4
"""Label values of BraTS 2017 to 2021."""


@dataclass(frozen=True)
class TumourVariation:
    """How tumours differ; pairs are the ends of a range, radii are those of a sphere of the whole tumour's volume."""

    volume_ml: tuple[float, float] = (15.0, 120.0)
    """Whole tumour, log-uniform."""
    core_share: tuple[float, float] = (0.25, 0.6)
    """Volume of the core within the whole tumour."""
    _: KW_ONLY
    necrosis_share: tuple[float, float] = (0.3, 0.6)
    """Volume of the necrosis within the core."""
    height_mm: tuple[float, float] = (-8.0, 48.0)
    """MNI z of the centre: in the cerebrum."""
    white_matter: float = 0.9
    """Least fraction of white matter at the centre, in the template."""
    mass_effect: tuple[float, float] = (0.0, 0.3)
    """See `Lesion`."""
    elongation: float = 0.25
    """Largest relative stretch of the core along an axis."""
    eccentricity: float = 0.4
    """Largest offset of the oedema from the core along an axis, in radii."""
    roughness: float = 0.2
    """Standard deviation of a boundary, in radii."""
    roughness_knots_mm: float = 11.0
    """Distance of the control points of boundaries and density."""
    grey_barrier: float = 0.5
    """Detour that grey matter is to oedema, in radii."""
    csf_barrier: float = 1.5
    """Detour that CSF is to any part, in radii."""
    density_mean: float = 0.85
    """Mean share of tumour in its own voxels; the rest is the healthy tissue it infiltrates."""
    density_deviation: float = 0.12
    """Standard deviation of that share."""
    edge_mm: float = 1.2
    """Gaussian sigma of the partial volume at boundaries."""


TUMOUR = TumourVariation()


def draw_lesion(rng: np.random.Generator) -> Lesion:
    """Draw the volume, site and mass effect of a tumour."""
    volume_mm3 = 1000 * np.exp(rng.uniform(*np.log(TUMOUR.volume_ml)))
    radius_mm = (3 * volume_mm3 / (4 * np.pi)) ** (1 / 3)
    return Lesion(rng.choice(_tumour_sites_mm()), float(radius_mm), mass_effect=rng.uniform(*TUMOUR.mass_effect))


@cache
def _tumour_sites_mm() -> FloatArray:
    """Places in the template where a tumour may start; `(S, 3)`."""
    template = load_template()
    sites = np.argwhere(template.white >= 255 * TUMOUR.white_matter)
    sites_mm = (sites @ template.affine[:3, :3].T + template.affine[:3, 3]).astype(np.float32)
    low, high = TUMOUR.height_mm
    return sites_mm[(sites_mm[:, 2] > low) & (sites_mm[:, 2] < high)]


def grow_tumour(lesion: Lesion, anatomy: Anatomy, spacing_mm: float, rng: np.random.Generator) -> LabelArray:
    """Fill the drawn volumes outwards from the centre, each up to a rough boundary.

    Oedema prefers white matter, the core replaces either matter, nothing prefers CSF; all of it is inside the brain.

    Args:
        lesion: Centre and volume.
        anatomy: The brain it grows in.
        spacing_mm: Isotropic voxel size of the anatomy.
        rng: Source of the shapes and of the volumes of the parts.

    Returns:
        `(X, Y, Z)`, labels of BraTS 2020: 0, 1 (necrosis), 2 (oedema), 4 (enhancing).
    """
    whole_score, core_score, necrosis_score = _growth_scores(lesion, anatomy, spacing_mm, rng)
    voxels = 4 / 3 * np.pi * (lesion.radius_mm / spacing_mm) ** 3
    whole = _largest_part(_lowest(whole_score, voxels), anatomy.brain)
    voxels = whole.sum() * rng.uniform(*TUMOUR.core_share)
    core = _lowest(np.where(whole, core_score, np.inf), voxels)
    voxels *= rng.uniform(*TUMOUR.necrosis_share)
    necrosis = _lowest(np.where(core, necrosis_score, np.inf), voxels)
    labels = np.zeros(anatomy.brain.shape, dtype=np.uint8)
    labels[anatomy.brain] = np.select([necrosis, core, whole], [BRATS_NECROSIS, BRATS_ENHANCING, BRATS_OEDEMA])
    return labels


def _growth_scores(
    lesion: Lesion, anatomy: Anatomy, spacing_mm: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """How late whole tumour, core and necrosis reach each voxel, in radii; each `(N,)`."""
    rough = [
        TUMOUR.roughness * smooth_field(spacing_mm, TUMOUR.roughness_knots_mm, rng)[anatomy.brain] for _ in range(3)
    ]
    stretch = rng.uniform(1 - TUMOUR.elongation, 1 + TUMOUR.elongation, size=(3, 1)).astype(np.float32)
    aside = rng.uniform(-TUMOUR.eccentricity, TUMOUR.eccentricity, size=(3, 1)).astype(np.float32)
    radii = anatomy.from_lesion_mm / np.float32(lesion.radius_mm)
    csf, grey, _ = anatomy.tissue
    barrier = TUMOUR.csf_barrier * csf
    whole = np.linalg.norm(radii - aside, axis=0) + barrier + TUMOUR.grey_barrier * grey + rough[0]
    core = np.linalg.norm(radii * stretch, axis=0) + barrier + rough[1]
    return whole, core, core + rough[2]


def _lowest(score: FloatArray, count: float) -> BoolArray:
    """Mask of the `count` voxels of lowest score, `(N,)`."""
    rank = int(count)
    return np.asarray(score < np.partition(score, rank)[rank])


def _largest_part(inside: BoolArray, brain: BoolArray) -> BoolArray:
    """Largest connected part of a mask that is given on the voxels of the brain, `(N,)`."""
    volume = np.zeros(brain.shape, dtype=bool)
    volume[brain] = inside
    parts, _ = ndimage.label(volume)
    largest = 1 + np.bincount(parts[volume])[1:].argmax()
    return np.asarray(parts[brain] == largest)


def blend_tumour(labels: LabelArray, anatomy: Anatomy, spacing_mm: float, rng: np.random.Generator) -> FloatArray:
    """Replace healthy tissue by tumour, of varying density and with soft edges.

    Args:
        labels: `(X, Y, Z)`, as `grow_tumour` returns them.
        anatomy: The healthy brain.
        spacing_mm: Isotropic voxel size of both.
        rng: Source of the density.

    Returns:
        `(6, N)`, tissue fractions in the order of `TissueClass`; columns sum to 1.
    """
    tumour = np.empty_like(anatomy.tissue)
    for row, label in zip(tumour, (BRATS_OEDEMA, BRATS_NECROSIS, BRATS_ENHANCING), strict=True):
        share = ndimage.gaussian_filter((labels == label).astype(np.float32), TUMOUR.edge_mm / spacing_mm)
        field = smooth_field(spacing_mm, TUMOUR.roughness_knots_mm, rng)
        density = np.clip(TUMOUR.density_mean + TUMOUR.density_deviation * field, 0, 1)
        row[:] = (share * density)[anatomy.brain]
    healthy = anatomy.tissue * (1 - tumour.sum(axis=0))
    return np.concatenate([healthy, tumour])
