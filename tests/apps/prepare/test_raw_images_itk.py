"""NRRD and MetaImage files come in sound, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.geometry import Grid, array_of
from utad_monai.apps.prepare.raw_images import read_itk_file, require_finite
from utad_monai.transforms import InvalidImageError


@pytest.fixture
def image() -> sitk.Image:
    """Give a small float volume with an origin."""
    made = sitk.GetImageFromArray(np.random.default_rng(1).normal(100, 20, (5, 6, 7)).astype(np.float32))
    made.SetOrigin([1.0, -2.0, 3.5])
    made.SetSpacing([1.0, 1.5, 2.5])
    return made


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.mhd"])
@pytest.mark.parametrize("compressed", [False, True])
def test_voxels_and_place_are_read(tmp_path: Path, image: sitk.Image, name: str, compressed: bool) -> None:
    image.SetMetaData("Patient", "Secret")
    sitk.WriteImage(image, str(tmp_path / name), compressed)
    read = read_itk_file(tmp_path / name)
    np.testing.assert_array_equal(array_of(read), array_of(image))
    assert Grid.of(read).same_as(Grid.of(image), 1e-6)
    assert read.GetMetaDataKeys() == ()


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("cut", [6, 200])
def test_truncated_files_are_refused(tmp_path: Path, image: sitk.Image, name: str, compressed: bool, cut: int) -> None:
    path = tmp_path / name
    sitk.WriteImage(image, str(path), compressed)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InvalidImageError):
        read_itk_file(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.mhd"])
def test_a_flipped_byte_in_compressed_voxels_is_refused(tmp_path: Path, image: sitk.Image, name: str) -> None:
    path = tmp_path / name
    sitk.WriteImage(image, str(path), True)
    damaged = tmp_path / "a.zraw" if name == "a.mhd" else path
    content = bytearray(damaged.read_bytes())
    content[-300] ^= 0xFF
    damaged.write_bytes(content)
    with pytest.raises(InvalidImageError, match=r"damaged compressed voxels|compressed voxels of"):
        read_itk_file(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path, image: sitk.Image) -> None:
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(image * 0, str(path), True)
    path.write_bytes(path.read_bytes().replace(b"sizes: 7 6 5", b"sizes: 7 6 2"))
    with pytest.raises(InvalidImageError, match="where its header expects 336"):
        read_itk_file(path)


def test_shapes_that_are_no_volume_are_refused(tmp_path: Path, image: sitk.Image) -> None:
    sitk.WriteImage(sitk.JoinSeries(image, image), str(tmp_path / "4d.nrrd"))
    with pytest.raises(InvalidImageError, match="4-D"):
        read_itk_file(tmp_path / "4d.nrrd")
    sitk.WriteImage(sitk.Compose(image, image), str(tmp_path / "vector.mha"))
    with pytest.raises(InvalidImageError, match="2 values a voxel"):
        read_itk_file(tmp_path / "vector.mha")
    sitk.WriteImage(image[:, :, :1], str(tmp_path / "flat.mha"))
    with pytest.raises(InvalidImageError, match="several slices"):
        read_itk_file(tmp_path / "flat.mha")


def test_a_huge_claim_is_refused_before_memory_is_asked_for(tmp_path: Path, image: sitk.Image) -> None:
    path = tmp_path / "a.mha"
    sitk.WriteImage(image, str(path))
    path.write_bytes(path.read_bytes().replace(b"DimSize = 7 6 5", b"DimSize = 30000 30000 30000"))
    with pytest.raises(InvalidImageError, match="too large"):
        read_itk_file(path)


@pytest.mark.parametrize("voxels", [b"../secret.raw", b"LIST", b"/etc/hostname"])
def test_voxels_elsewhere_are_refused(tmp_path: Path, image: sitk.Image, voxels: bytes) -> None:
    path = tmp_path / "in" / "a.mhd"
    path.parent.mkdir()
    sitk.WriteImage(image, str(path))
    (tmp_path / "secret.raw").write_bytes((path.parent / "a.raw").read_bytes())
    path.write_bytes(path.read_bytes().replace(b"a.raw", voxels))
    with pytest.raises(InvalidImageError, match="another file"):
        read_itk_file(path)


def test_a_link_to_voxels_elsewhere_is_refused(tmp_path: Path, image: sitk.Image) -> None:
    path = tmp_path / "in" / "a.mhd"
    path.parent.mkdir()
    sitk.WriteImage(image, str(path))
    (path.parent / "a.raw").rename(tmp_path / "away.raw")
    (path.parent / "a.raw").symlink_to(tmp_path / "away.raw")
    with pytest.raises(InvalidImageError, match="outside its folder"):
        read_itk_file(path)


def test_detached_nrrd_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_text("NRRD0004\ntype: float\ndimension: 3\nsizes: 2 2 2\ndata file: b.raw\n\n")
    with pytest.raises(InvalidImageError, match="another file"):
        read_itk_file(tmp_path / "a.nrrd")


def test_garbage_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(b"<html>not found</html>" * 20)
    with pytest.raises(InvalidImageError, match="header is damaged"):
        read_itk_file(tmp_path / "a.nrrd")
    with pytest.raises(InvalidImageError, match="cannot be read"):
        read_itk_file(tmp_path / "missing.nrrd")


def test_not_finite_voxels_are_refused(tmp_path: Path, image: sitk.Image) -> None:
    voxels = array_of(image).transpose(2, 1, 0)
    voxels[0, 0, :2] = [np.nan, np.inf]
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "a.mha"))
    with pytest.raises(InvalidImageError, match="2 voxels"):
        require_finite(tmp_path / "a.mha", read_itk_file(tmp_path / "a.mha"))
