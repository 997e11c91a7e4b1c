"""Other voxels on a known grid."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from utad_monai.completion.nifti_files import write_compressed, write_on_grid


@pytest.fixture
def like(tmp_path: Path) -> Path:
    image = nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), np.diag([1.5, -2, 3, 1]))
    image.header["descrip"], image.header["aux_file"] = b"hospital", b"name"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"patient"))
    nibabel.save(image, tmp_path / "like.nii.gz")
    return tmp_path / "like.nii.gz"


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 4)])
def test_affine_is_the_others_to_the_bit_and_voxels_are_exact(
    like: Path, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    voxels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 3
    made = nibabel.load(write_on_grid(tmp_path / "out" / "made.nii.gz", voxels, like, "text"))
    assert made.affine.tobytes() == nibabel.load(like).affine.tobytes()
    np.testing.assert_array_equal(np.asarray(made.dataobj), voxels)
    assert made.header["descrip"].tobytes().startswith(b"text\0")


def test_what_describes_the_other_file_does_not_go_along(like: Path, tmp_path: Path) -> None:
    content = nibabel.load(write_on_grid(tmp_path / "made.nii.gz", np.zeros((4, 5, 6), np.uint8), like)).to_bytes()
    assert b"hospital" not in content
    assert b"name" not in content
    assert b"patient" not in content


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = write_compressed(tmp_path / "one.gz", b"abc" * 99), write_compressed(tmp_path / "two.gz", b"abc" * 99)
    assert one.read_bytes() == two.read_bytes()
