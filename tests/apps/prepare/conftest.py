"""Made-up scanner output: heads with skull, turned, shifted, biased, stored as DICOM, NRRD, MetaImage and NIfTI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage
from scipy.spatial.transform import Rotation

from utad_monai.apps.prepare.geometry import Grid, Matrix, affine_of, image_of, transform_of
from utad_monai.keys import Modality

Volume = np.ndarray[Any, Any]

SPACING_MM = 4.0
SHAPE = (56, 64, 52)
AFFINE = np.array([[-4.0, 0, 0, 110], [0, -4.0, 0, 126], [0, 0, 4.0, -102], [0, 0, 0, 1]])
TISSUE = {  # CSF, grey, white, tumour, bone, fat
    Modality.FLAIR: (60.0, 420.0, 320.0, 700.0, 40.0, 500.0),
    Modality.T1: (150.0, 400.0, 560.0, 330.0, 50.0, 700.0),
    Modality.T1CE: (160.0, 430.0, 560.0, 800.0, 50.0, 720.0),
    Modality.T2: (900.0, 520.0, 380.0, 700.0, 40.0, 600.0),
}


@dataclass(frozen=True)
class Head:
    """A made-up head on an axis-aligned grid.

    Attributes:
        images: float32 per modality.
        brain: bool `(X, Y, Z)`.
        labels: uint8 `(X, Y, Z)`.
        affine: RAS.
    """

    images: Mapping[Modality, sitk.Image]
    brain: Volume
    labels: Volume
    affine: Volume


@dataclass(frozen=True)
class RawHead:
    """A head as the scanner might have given it, with the truth.

    Attributes:
        images: float32, each on its own grid.
        to_head: `(4, 4)` LPS, points of each raw image to points of the head.
        head: what was imaged.
    """

    images: Mapping[Modality, sitk.Image]
    to_head: Mapping[Modality, Matrix]
    head: Head

    def error_mm(self, matrix: Matrix, reference: Modality, modality: Modality) -> Volume:
        """Return the distance, at every brain voxel, between a found and the true place of the reference's points."""
        points = np.argwhere(self.head.brain) @ self.head.affine[:3, :3].T + self.head.affine[:3, 3]
        lps = np.c_[points * [-1, -1, 1], np.ones(len(points))] @ np.linalg.inv(self.to_head[reference]).T
        true = np.linalg.inv(self.to_head[modality]) @ self.to_head[reference]
        distance: Volume = np.linalg.norm((lps @ (matrix - true).T)[:, :3], axis=1)
        return distance


def add_skull(image: Volume, brain: Volume, spacing_mm: float, bone: float, fat: float, noise: float = 0.0) -> Volume:
    """Put a dark gap, bone and a bright scalp around a brain; air is 0 where `noise` is 0."""
    outside = ndimage.distance_transform_edt(~brain, sampling=spacing_mm)
    head = np.where(brain, image, 0.0)
    head[(outside > 0) & (outside <= 3)] = 0.4 * np.median(image[brain])
    head[(outside > 3) & (outside <= 10)] = bone
    head[(outside > 10) & (outside <= 17)] = fat
    if noise:
        head = np.abs(head + np.random.default_rng(3).normal(0, noise, head.shape))
    return head.astype(np.float32)


def make_head(skull: bool = True, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> Head:
    """Make an egg of grey and white matter with ventricles, a tumour and, when asked, a skull."""
    draw = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in shape], indexing="ij")) * SPACING_MM
    x, y, z = grid
    radius = np.sqrt((x / 66) ** 2 + ((y + 4) / (82 + 0.08 * z)) ** 2 + (z / 64) ** 2)
    folds = ndimage.gaussian_filter(draw.normal(size=shape), 1.5) * 0.5
    brain = radius < 1
    tissue = np.where(radius + folds < 0.75, 2, 1)
    tissue[np.sqrt(((np.abs(x) - 14) / 9) ** 2 + (y / 30) ** 2 + ((z - 6) / 13) ** 2) < 1] = 0
    distance = np.sqrt((x - 32) ** 2 + (y - 20) ** 2 + (z - 18) ** 2)
    labels = np.select([distance < 7, distance < 13, distance < 20], [1, 4, 2], 0).astype(np.uint8)
    tissue[labels > 0] = 3
    images = {}
    for modality, values in TISSUE.items():
        image = np.array(values[:4])[tissue] + draw.normal(0, 12, shape)
        image = np.where(brain, image.clip(1), 0)
        if skull:
            image = add_skull(image, brain, SPACING_MM, *values[4:], noise=6)
        images[modality] = image_of(image.astype(np.float32), AFFINE)
    return Head(images, brain, labels, AFFINE)


def random_motion(draw: np.random.Generator, degrees: tuple[float, float] = (3, 8), shift_mm: float = 6.0) -> Matrix:
    """Draw a rotation about a random axis through the middle of the head, and a shift."""
    axis = draw.normal(size=3)
    angle = np.radians(draw.uniform(*degrees))
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()
    matrix[:3, 3] = draw.uniform(-shift_mm, shift_mm, 3)
    return matrix


def scan(head: Head, seed: int = 0, bias: float = 0.3, thickness_mm: float = 0.0) -> RawHead:
    """Image a head that moves between scans, on oblique grids, with a bias field in each image.

    Slices thicker than the head's voxels average what lies in them.
    """
    draw = np.random.default_rng(seed)
    images, to_head = {}, {}
    for modality, image in head.images.items():
        parts = max(1, round(thickness_mm / image.GetSpacing()[2]))
        grid = _oblique(Grid.of(image), random_motion(draw), parts)
        motion = random_motion(draw)
        scanned = sitk.Resample(image, grid.empty(), transform_of(motion), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
        scanned = sitk.BinShrink(scanned, [1, 1, parts])
        images[modality] = scanned * _bias_field(scanned, bias, draw) if bias else scanned
        to_head[modality] = motion
    return RawHead(images, to_head, head)


def _oblique(grid: Grid, rotation: Matrix, parts: int) -> Grid:
    """Turn a grid about its middle, and make its number of slices a multiple."""
    affine = grid.matrix
    size = (*grid.size[:2], grid.size[2] // parts * parts)
    middle = np.array([*((length - 1) / 2 for length in grid.size), 1.0])
    centre = (grid.matrix @ middle)[:3]
    affine[:3, :3] = rotation[:3, :3] @ affine[:3, :3]
    affine[:3, 3] = centre - affine[:3, :3] @ np.array([(length - 1) / 2 for length in size])
    return Grid.from_affine(size, affine)


def _bias_field(image: sitk.Image, strength: float, draw: np.random.Generator) -> sitk.Image:
    coarse = np.exp(strength * draw.uniform(-1, 1, (3, 3, 3)))
    size = image.GetSize()
    field = ndimage.zoom(coarse, [n / 3 for n in size], order=3, mode="nearest", grid_mode=True)
    return image_of(field.astype(np.float32), affine_of(image))


def write_dicom(folder: Path, image: sitk.Image, description: str, series: int = 1, **tags: str) -> Path:
    """Write a volume as a DICOM series with one file per slice, in random order of names, with a patient's name."""
    folder.mkdir(parents=True, exist_ok=True)
    integer = sitk.Cast(sitk.Clamp(image, lowerBound=0, upperBound=30000), sitk.sitkInt16)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    left_handed = np.linalg.det(direction) < 0
    common = {
        "0008|0060": "MR",
        "0008|103e": description,
        "0010|0010": "Secret^Patient",
        "0010|0020": "SECRET-ID",
        "0010|0030": "19501231",
        "0008|0020": "20200102",
        "0008|0030": "101112",
        "0020|000d": "1.2.826.0.1.3680043.2.1125.1",
        "0020|000e": f"1.2.826.0.1.3680043.2.1125.1.{series}",
        "0020|0011": str(series),
        "0020|0037": "\\".join(f"{value:.10f}" for value in (*direction[:, 0], *direction[:, 1])),
        "0018|0050": f"{image.GetSpacing()[2]:.6f}",
        **{key.replace("_", "|"): value for key, value in tags.items()},
    }
    assert not left_handed, "DICOM slices are stacked along the normal of rows and columns"
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index in range(image.GetSize()[2]):
        plane = integer[:, :, index]
        place = image.TransformIndexToPhysicalPoint((0, 0, index))
        position = "\\".join(f"{value:.8f}" for value in place)
        for key, value in {**common, "0020|0032": position, "0020|0013": str(index + 1)}.items():
            plane.SetMetaData(key, value)
        plane.SetMetaData("0008|0018", f"1.2.826.0.1.3680043.2.1125.1.{series}.{index}")
        writer.SetFileName(str(folder / f"IM{(index * 37) % 997:04d}_{series}"))
        writer.SetImageIO("GDCMImageIO")
        writer.Execute(plane)
    return folder


def write_raw_case(root: Path, case_id: str, raw: RawHead, segmentation: bool = True) -> Path:
    """Write T1ce and T1 as DICOM series in one folder, FLAIR as NRRD, T2 as MetaImage, labels as NIfTI."""
    folder = root / case_id
    write_dicom(folder / "dicom", raw.images[Modality.T1CE], "t1_mprage_sag post gad", 4)
    write_dicom(folder / "dicom", raw.images[Modality.T1], "T1 MPRAGE", 3)
    sitk.WriteImage(raw.images[Modality.FLAIR], str(folder / f"{case_id}_FLAIR.nrrd"), True)
    sitk.WriteImage(raw.images[Modality.T2], str(folder / "ax_T2w.mha"))
    if segmentation:
        labels = image_of(raw.head.labels, raw.head.affine)
        grid = Grid.of(raw.images[Modality.FLAIR]).empty()
        moved = sitk.Resample(labels, grid, transform_of(raw.to_head[Modality.FLAIR]), sitk.sitkNearestNeighbor)
        sitk.WriteImage(moved, str(folder / "tumor_seg.nii.gz"))
    return folder


@pytest.fixture(scope="session")
def head() -> Head:
    """Give a made-up head with skull at 4 mm."""
    return make_head()


@pytest.fixture(scope="session")
def stripped_head() -> Head:
    """Give the same head without its skull."""
    return make_head(skull=False)


@pytest.fixture(scope="session")
def raw_head(head: Head) -> RawHead:
    """Give the head as scanned: turned, shifted, biased."""
    return scan(head)


@pytest.fixture(scope="session")
def scanner() -> dict[str, Callable[..., Any]]:
    """Give the functions that make raw cases."""
    return {
        "make_head": make_head,
        "add_skull": add_skull,
        "scan": scan,
        "random_motion": random_motion,
        "write_dicom": write_dicom,
        "write_raw_case": write_raw_case,
    }
