"""Resampling keeps what each kind of voxel means."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.preparation.grids import Grid, array_of, image_of
from utad_monai.preparation.resampling import (
    resample_image,
    resample_labels,
    resample_mask,
    resample_nearest,
    resample_stripped,
)
from utad_monai.preparation.rigid import translation
from utad_monai.preparation.settings import Interpolation

HALF = translation([0.5, 0, 0])


@pytest.fixture
def ramp() -> sitk.Image:
    """Give 3 x + 10 on 12 x 10 x 9 voxels of 1 mm."""
    x = np.arange(12, dtype=np.float32)[:, None, None]
    return image_of(np.broadcast_to(3 * x + 10, (12, 10, 9)).copy(), np.diag([-1.0, -1, 1, 1]))


@pytest.mark.parametrize("interpolation", list(Interpolation))
def test_points_of_the_grid_are_looked_up_where_the_transform_says(
    ramp: sitk.Image, interpolation: Interpolation
) -> None:
    result = array_of(resample_image(ramp, Grid.of(ramp), HALF, interpolation))
    np.testing.assert_allclose(result[2:9], array_of(ramp)[2:9] + 1.5, atol=0.2)
    assert (array_of(resample_image(ramp, Grid.of(ramp), translation([40, 0, 0]), interpolation)) == 0).all()


def test_the_edge_of_a_stripped_brain_is_not_darkened(ramp: sitk.Image) -> None:
    brain = np.zeros((12, 10, 9), np.uint8)
    brain[3:9, 2:8, 2:7] = 1
    mask = image_of(brain, np.diag([-1.0, -1, 1, 1]))
    constant = image_of(np.where(brain, 100, 0).astype(np.float32), np.diag([-1.0, -1, 1, 1]))
    result = array_of(resample_stripped(constant, mask, Grid.of(ramp), translation([0.4, 0.3, 0])))
    assert set(np.unique(np.round(result, 3))) == {0.0, 100.0}
    plain = array_of(resample_image(constant, Grid.of(ramp), translation([0.4, 0.3, 0]), Interpolation.LINEAR))
    assert len(np.unique(plain)) > 2


def test_labels_are_never_averaged(ramp: sitk.Image) -> None:
    labels = np.zeros((12, 10, 9), np.uint8)
    labels[2:6], labels[6:10] = 1, 4
    image = image_of(labels, np.diag([-1.0, -1, 1, 1]))
    for resample in (resample_labels, resample_nearest):
        result = array_of(resample(image, Grid.of(ramp), translation([0.4, 0, 0])))
        assert set(np.unique(result)) <= {0, 1, 4}
        np.testing.assert_array_equal(result[2:10, 5, 5], [1, 1, 1, 1, 4, 4, 4, 4])


def test_a_mask_is_cut_at_one_half(ramp: sitk.Image) -> None:
    brain = np.zeros((12, 10, 9), np.uint8)
    brain[4:8] = 1
    image = image_of(brain, np.diag([-1.0, -1, 1, 1]))
    result = array_of(resample_mask(image, Grid.of(ramp), translation([0.6, 0, 0])))[:, 5, 5]
    np.testing.assert_array_equal(np.flatnonzero(result), [3, 4, 5, 6])
