"""Every format comes in as the same image, and sees its checks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.dicom import group_series
from utad_monai.apps.prepare.geometry import Grid, affine_of, array_of, image_of
from utad_monai.apps.prepare.raw_images import (
    RawFormat,
    RawSource,
    format_of,
    read_raw_image,
    size_and_spacing,
    stem_of,
)
from utad_monai.transforms import InvalidImageError

Scanner = dict[str, Callable[..., Any]]


@pytest.fixture
def image(scanner: Scanner) -> sitk.Image:
    """Give a small oblique volume of whole intensities."""
    made = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 900, (5, 6, 7)).astype(np.float32))
    made.SetSpacing([1.5, 1.0, 3.0])
    made.SetDirection(scanner["random_motion"](np.random.default_rng(4))[:3, :3].ravel().tolist())
    return made


def write(folder: Path, image: sitk.Image, kind: RawFormat, scanner: Scanner) -> RawSource:
    if kind is RawFormat.DICOM:
        (series,), _ = group_series(scanner["write_dicom"](folder / "d", image, "T1", 7).iterdir())
        return RawSource(folder / "d", kind, series=series)
    path = folder / {RawFormat.NIFTI: "a.nii.gz", RawFormat.NRRD: "a.nrrd", RawFormat.META_IMAGE: "a.mhd"}[kind]
    sitk.WriteImage(image, str(path))
    return RawSource(path, kind)


@pytest.mark.parametrize("kind", list(RawFormat))
def test_every_format_gives_the_same_image(
    tmp_path: Path, image: sitk.Image, kind: RawFormat, scanner: Scanner
) -> None:
    source = write(tmp_path, image, kind, scanner)
    read = read_raw_image(source).image
    np.testing.assert_array_equal(array_of(read), array_of(image))
    np.testing.assert_allclose(affine_of(read), affine_of(image), atol=1e-4)
    size, spacing = size_and_spacing(source)
    assert size == image.GetSize()
    np.testing.assert_allclose(spacing, image.GetSpacing(), atol=1e-4)


def test_the_files_and_the_text_of_a_source_name_it(tmp_path: Path, image: sitk.Image, scanner: Scanner) -> None:
    dicom = write(tmp_path, image, RawFormat.DICOM, scanner)
    assert len(dicom.files) == 5
    assert dicom.text == "d/ series 7 'T1'"
    meta = write(tmp_path, image, RawFormat.META_IMAGE, scanner)
    assert [path.name for path in meta.files] == ["a.mhd", "a.raw"]
    assert meta.text == "a.mhd"


def test_a_contrast_agent_in_the_header_is_a_warning(tmp_path: Path, image: sitk.Image, scanner: Scanner) -> None:
    folder = scanner["write_dicom"](tmp_path / "d", image, "T1", **{"0018_0010": "Gadovist"})
    (series,), _ = group_series(folder.iterdir())
    assert "contrast agent" in read_raw_image(RawSource(folder, RawFormat.DICOM, series=series)).warnings[0]


def test_a_damaged_nifti_does_not_reach_itk(tmp_path: Path, image: sitk.Image, scanner: Scanner) -> None:
    source = write(tmp_path, image, RawFormat.NIFTI, scanner)
    source.path.write_bytes(source.path.read_bytes()[:-30])
    with pytest.raises(InvalidImageError, match="damaged or truncated gzip"):
        read_raw_image(source)


def test_a_sheared_affine_is_refused(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.2
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), affine), tmp_path / "a.nii")
    with pytest.raises(InvalidImageError, match="sheared"):
        read_raw_image(RawSource(tmp_path / "a.nii", RawFormat.NIFTI))


def test_nan_is_refused_in_every_format(tmp_path: Path, image: sitk.Image, scanner: Scanner) -> None:
    voxels = array_of(image)
    voxels[2, 2, 2] = np.nan
    broken = image_of(voxels, affine_of(image))
    for kind in (RawFormat.NIFTI, RawFormat.NRRD, RawFormat.META_IMAGE):
        with pytest.raises(InvalidImageError, match="NaN"):
            read_raw_image(write(tmp_path, broken, kind, scanner))


def test_an_unreadable_header_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_text("nothing")
    with pytest.raises(InvalidImageError, match="header is damaged"):
        size_and_spacing(RawSource(tmp_path / "a.nrrd", RawFormat.NRRD))


@pytest.mark.parametrize(
    ("name", "kind", "stem"),
    [
        ("a.b_t1.nii.gz", RawFormat.NIFTI, "a.b_t1"),
        ("T1.NII", RawFormat.NIFTI, "T1"),
        ("x.mha", RawFormat.META_IMAGE, "x"),
        ("x.raw", None, "x"),
        ("IM001", None, "IM001"),
    ],
)
def test_endings_name_the_format(name: str, kind: RawFormat | None, stem: str) -> None:
    assert format_of(Path(name)) == kind
    assert stem_of(Path(name)) == stem


def test_grids_of_all_formats_agree(tmp_path: Path, image: sitk.Image, scanner: Scanner) -> None:
    grids = [Grid.of(read_raw_image(write(tmp_path, image, kind, scanner)).image) for kind in RawFormat]
    assert all(grid.same_as(grids[0], 1e-4) for grid in grids)
