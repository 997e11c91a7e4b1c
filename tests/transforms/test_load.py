"""Loading puts the checked voxels of a file into a MetaTensor."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from utad_monai.transforms import InvalidImageError, LoadNifti, LoadNiftid
from utad_monai.transforms.load import ORIENTATION, WARNINGS

AFFINE = np.array([[-1.5, 0, 0, 4], [0, -2, 0, 5], [0, 0, 3, -6], [0, 0, 0, 1]])
VOXELS = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "case_t1.nii.gz"
    nibabel.save(nibabel.Nifti1Image(VOXELS, AFFINE), path)
    return path


def test_volume_gains_a_channel_and_keeps_its_voxels(path: Path) -> None:
    loaded = LoadNifti()(path)
    assert isinstance(loaded, MetaTensor)
    assert loaded.dtype == torch.float32
    np.testing.assert_array_equal(loaded.numpy(), VOXELS[None])


def test_affine_and_name_are_in_the_meta_data(path: Path) -> None:
    loaded = LoadNifti()(str(path))
    np.testing.assert_allclose(loaded.affine.numpy(), AFFINE)
    assert loaded.affine.dtype == torch.float64
    assert loaded.meta["filename_or_obj"] == str(path)
    assert loaded.meta[WARNINGS] == []
    assert loaded.meta[ORIENTATION] == "LPS"


def test_warnings_of_the_file_are_in_the_meta_data(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(VOXELS - 100, AFFINE), path)
    (warning,) = LoadNifti()(path).meta[WARNINGS]
    assert "negative" in warning


def test_a_channel_of_a_4d_file_is_loaded(tmp_path: Path) -> None:
    volume = np.arange(2 * 3 * 4 * 2, dtype=np.int16).reshape(2, 3, 4, 2)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "four.nii.gz")
    np.testing.assert_array_equal(LoadNifti()(tmp_path / "four.nii.gz", 1, 2).numpy()[0], volume[..., 1])
    with pytest.raises(InvalidImageError, match="has 2 channels"):
        LoadNifti()(tmp_path / "four.nii.gz", 1, 4)


def test_voxels_may_be_changed_in_place(path: Path) -> None:
    loaded = LoadNifti()(path)
    loaded += 1
    np.testing.assert_array_equal(loaded.numpy(), VOXELS[None] + 1)


def test_dictionary_version_equals_the_array_version_and_leaves_other_keys(path: Path) -> None:
    data = {"t1": path, "case_id": "case"}
    loaded = LoadNiftid("t1")(data)
    assert torch.equal(loaded["t1"], LoadNifti()(path))
    assert loaded["case_id"] == "case"
    assert data["t1"] == path


def test_dictionary_version_skips_missing_keys_only_when_allowed(path: Path) -> None:
    assert set(LoadNiftid(["t1", "t2"], allow_missing_keys=True)({"t1": path})) == {"t1"}
    with pytest.raises(KeyError, match="t2"):
        LoadNiftid(["t1", "t2"])({"t1": path})


def test_bad_file_is_refused_by_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "bad.nii.gz"
    path.write_bytes(b"")
    with pytest.raises(InvalidImageError, match="empty"):
        LoadNifti()(path)
    with pytest.raises(InvalidImageError, match="empty"):
        LoadNiftid("t1")({"t1": path})
