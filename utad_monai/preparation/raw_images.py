"""One raw image: which files it is made of, and how it is read, whatever its format."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813

from transforms import InvalidImageError, read_nifti
from utad_monai.preparation.dicom_headers import DicomSeries
from utad_monai.preparation.dicom_volume import read_series, stack_slices
from utad_monai.preparation.grids import image_of
from utad_monai.preparation.itk_files import read_itk_file, require_finite

_SHEAR_TOLERANCE = 1e-3


class RawFormat(StrEnum):
    """File formats that are read."""

    DICOM = "DICOM"
    NIFTI = "NIfTI"
    NRRD = "NRRD"
    META_IMAGE = "MetaImage"


FORMAT_OF_ENDING = {
    ".nii.gz": RawFormat.NIFTI,
    ".nii": RawFormat.NIFTI,
    ".nrrd": RawFormat.NRRD,
    ".mha": RawFormat.META_IMAGE,
    ".mhd": RawFormat.META_IMAGE,
}
"""Endings of image files, in lower case; DICOM files are known by their content."""


@dataclass(frozen=True)
class RawSource:
    """Where a raw image is.

    Attributes:
        path: the file, or the folder of a DICOM series.
        format: how it is stored.
        series: the DICOM series, when it is one.
    """

    path: Path
    format: RawFormat
    series: DicomSeries | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file whose content decides the image, by name."""
        if self.series is not None:
            return tuple(sorted(one.path for one in self.series.slices))
        beside = [self.path.with_suffix(ending) for ending in (".raw", ".zraw")]
        return (self.path, *(path for path in beside if self.path.suffix.casefold() == ".mhd" and path.is_file()))

    @property
    def text(self) -> str:
        """How the user finds it: a file, or a series of a folder; for the screen only."""
        if self.series is None:
            return self.path.name
        return f"{self.path.name}/ series {self.series.number or '?'} {self.series.description!r}"


@dataclass(frozen=True)
class RawImage:
    """A sound raw volume.

    Attributes:
        image: float32, LPS geometry, voxels in the order of the file.
        warnings: one phrase for each doubtful property.
    """

    image: sitk.Image
    warnings: tuple[str, ...]


def format_of(path: Path) -> RawFormat | None:
    """Return the format that a file's ending promises, or None."""
    name = path.name.casefold()
    return next((kind for ending, kind in FORMAT_OF_ENDING.items() if name.endswith(ending)), None)


def stem_of(path: Path) -> str:
    """Return a file's name without the ending of its format."""
    ending = next((ending for ending in FORMAT_OF_ENDING if path.name.casefold().endswith(ending)), path.suffix)
    return path.name[: len(path.name) - len(ending)] if ending else path.name


def read_raw_image(source: RawSource) -> RawImage:
    """Read and check one raw image.

    Raises:
        InvalidImageError: when it is not a sound 3-D volume of finite numbers on an orthogonal grid.
    """
    if source.series is not None:
        image, warnings = read_series(source.series), _series_warnings(source.series)
    elif source.format is RawFormat.NIFTI:
        volume = read_nifti(source.path)
        _refuse_shear(source.path, volume.affine)
        image, warnings = image_of(volume.array, volume.affine), volume.warnings
    else:
        image, warnings = read_itk_file(source.path), ()
    require_finite(source.path, image)
    return RawImage(image, warnings)


def size_and_spacing(source: RawSource) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return voxels and mm along each axis from the headers alone.

    Raises:
        InvalidImageError: when the headers cannot be used.
    """
    if source.series is not None:
        stack = stack_slices(source.series)
        return stack.size, stack.spacing
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(source.path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InvalidImageError(source.path, "cannot be read: its header is damaged") from error
    return tuple(reader.GetSize()), tuple(reader.GetSpacing())


def _refuse_shear(path: Path, affine: npt.NDArray[np.float64]) -> None:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=_SHEAR_TOLERANCE):
        raise InvalidImageError(path, "has a sheared affine: its axes are not at right angles", "resample it first")


def _series_warnings(series: DicomSeries) -> tuple[str, ...]:
    return ("its DICOM header names a contrast agent",) if series.contrast_agent else ()
