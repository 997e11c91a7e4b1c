"""Skull-stripped images are told from heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.keys import Modality
from utad_monai.preparation.grids import array_of, image_of
from utad_monai.preparation.raw_images import RawFormat, RawSource, read_raw_image
from utad_monai.preparation.skull_stripped import is_skull_stripped, own_brain


@pytest.mark.parametrize("modality", list(Modality))
def test_brains_and_heads_are_told_apart(head: Any, stripped_head: Any, modality: Modality) -> None:
    assert is_skull_stripped(stripped_head.images[modality])
    assert not is_skull_stripped(head.images[modality])


@pytest.mark.parametrize("modality", list(Modality))
def test_a_head_in_front_of_exact_zeros_is_still_a_head(head: Any, modality: Modality) -> None:
    voxels = array_of(head.images[modality])
    voxels[voxels < 35] = 0
    middle = np.array(head.images[modality].GetSize()) // 2
    assert (voxels[: middle[0] // 2] == 0).mean() > 0.3
    assert not is_skull_stripped(image_of(voxels, head.affine))


def test_a_small_head_is_known_by_its_bone(head: Any) -> None:
    image = sitk.Image(head.images[Modality.T1])
    voxels = array_of(image)
    voxels[voxels < 20] = 0
    image = image_of(voxels, head.affine * np.array([0.75, 0.75, 0.75, 1]))
    assert not is_skull_stripped(image)


def test_a_thin_slab_has_no_depth_to_judge(stripped_head: Any) -> None:
    image = stripped_head.images[Modality.T1][:, :, 22:27]
    image.SetSpacing([4.0, 4.0, 20.0])
    assert is_skull_stripped(image) in (True, False)


def test_a_speck_is_no_brain() -> None:
    voxels = np.zeros((40, 40, 40), np.float32)
    voxels[15:25, 15:25, 15:25] = 100
    assert not is_skull_stripped(image_of(voxels, np.diag([-2.0, -2, 2, 1])))


def test_the_own_brain_has_its_holes_filled(stripped_head: Any) -> None:
    voxels = array_of(stripped_head.images[Modality.T2])
    voxels[28, 32, 26] = 0
    np.testing.assert_array_equal(array_of(own_brain(image_of(voxels, stripped_head.affine))) > 0, stripped_head.brain)


@pytest.mark.real_data
def test_real_brains_are_recognised(real_dataset_dir: Path) -> None:
    case = sorted(real_dataset_dir.iterdir())[0]
    for modality in Modality:
        path = case / f"{case.name}_{modality}.nii.gz"
        assert is_skull_stripped(read_raw_image(RawSource(path, RawFormat.NIFTI)).image)
