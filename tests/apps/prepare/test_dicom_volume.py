"""Only a complete, even stack of slices is a volume, and it lies where its headers say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.dicom import DicomSeries, group_series, read_series, stack_slices
from utad_monai.apps.prepare.geometry import Grid, array_of
from utad_monai.transforms import InvalidImageError

Scanner = dict[str, Callable[..., Any]]


@pytest.fixture
def oblique(scanner: Scanner) -> sitk.Image:
    """Give a small oblique volume with anisotropic voxels and whole intensities."""
    voxels = np.random.default_rng(0).integers(0, 2000, (6, 7, 8)).astype(np.float32)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing([1.5, 0.75, 4.0])
    image.SetOrigin([-31.5, 12.25, 99.0])
    image.SetDirection(scanner["random_motion"](np.random.default_rng(4), (20, 40))[:3, :3].ravel().tolist())
    return image


@pytest.fixture
def series(tmp_path: Path, oblique: sitk.Image, scanner: Scanner) -> DicomSeries:
    """Give the same volume as a DICOM series."""
    (found,), _ = group_series(scanner["write_dicom"](tmp_path / "s", oblique, "T1").iterdir())
    return found


def test_an_oblique_series_lies_where_it_was(series: DicomSeries, oblique: sitk.Image) -> None:
    image = read_series(series)
    np.testing.assert_array_equal(array_of(image), array_of(oblique))
    np.testing.assert_allclose(Grid.of(image).matrix, Grid.of(oblique).matrix, atol=1e-4)
    assert image.GetPixelID() == sitk.sitkFloat32


def test_nothing_of_the_patient_stays_with_the_image(series: DicomSeries) -> None:
    assert read_series(series).GetMetaDataKeys() == ()


def test_rescale_slope_and_intercept_are_applied(tmp_path: Path, oblique: sitk.Image, scanner: Scanner) -> None:
    folder = scanner["write_dicom"](tmp_path / "r", oblique, "T1")
    for path in folder.iterdir():  # given a slope, ITK writes now and then an enhanced image
        file = pydicom.dcmread(path)
        file.RescaleSlope, file.RescaleIntercept = "2", "10"
        file.save_as(path)
    (found,), _ = group_series(folder.iterdir())
    np.testing.assert_array_equal(array_of(read_series(found)), 2 * array_of(oblique) + 10)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda slices: slices[:2] + slices[3:], "missing slices"),
        (lambda slices: [*slices, slices[0]], "several images at one place"),
        (lambda slices: slices[:1], "one slice only"),
        (lambda slices: [replace(slices[0], size=(9, 7)), *slices[1:]], "mixed sizes"),
        (lambda slices: [replace(slices[0], pixel_mm=(2.0, 2.0)), *slices[1:]], "mixed sizes"),
        (lambda slices: [replace(slices[0], axes=(1, 0, 0, 0, 1, 0)), *slices[1:]], "different directions"),
        (lambda slices: [replace(one, axes=None) for one in slices], "lacks image position"),
        (lambda slices: [replace(slices[0], position=None), *slices[1:]], "without a position"),
        (lambda slices: [replace(one, components=3) for one in slices], "in colour"),
        (lambda slices: [replace(one, size=(8, 7, 6)) for one in slices], "several frames"),
    ],
)
def test_a_series_that_is_no_volume_is_refused(
    series: DicomSeries, change: Callable[[list[Any]], list[Any]], reason: str
) -> None:
    ordered = sorted(series.slices, key=lambda one: one.position[2] if one.position else 0.0)
    with pytest.raises(InvalidImageError, match=reason) as refusal:
        stack_slices(replace(series, slices=tuple(change(ordered))))
    assert refusal.value.path == series.folder


def test_uneven_and_tilted_stacks_are_refused(series: DicomSeries) -> None:
    stack = stack_slices(series)
    normal, row = stack.direction[:, 2], stack.direction[:, 0]
    ordered = sorted(series.slices, key=lambda one: float(np.dot(one.position or (0, 0, 0), normal)))

    def moved(index: int, shift: np.ndarray) -> tuple[Any, ...]:
        one = ordered[index]
        place = tuple(np.array(one.position) + shift)
        return (*ordered[:index], replace(one, position=place), *ordered[index + 1 :])

    with pytest.raises(InvalidImageError, match="not evenly spaced"):
        stack_slices(replace(series, slices=moved(2, 1.0 * normal)))
    tilted = tuple(
        replace(one, position=tuple(np.array(one.position) + 0.8 * at * row)) for at, one in enumerate(ordered)
    )
    with pytest.raises(InvalidImageError, match="gantry tilt"):
        stack_slices(replace(series, slices=tilted))


def test_a_truncated_file_is_refused(series: DicomSeries) -> None:
    path = series.slices[2].path
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InvalidImageError, match="damaged or truncated"):
        read_series(series)


def test_headers_and_pixels_must_agree(series: DicomSeries) -> None:
    lying = tuple(replace(one, size=(9, 9)) for one in series.slices)
    with pytest.raises(InvalidImageError, match="was read with size"):
        read_series(replace(series, slices=lying))
