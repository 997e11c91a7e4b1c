"""Dice of the tumour regions follows the conventions of BraTS."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK
import torch
from torch import Tensor

from utad_monai.keys import TumourRegion
from utad_monai.metrics import region_dice
from utad_monai.metrics.segmentation import MISSED_REGION_MM, lesion_volume_change, region_hausdorff


def regions(whole: int = 0, core: int = 0, enhancing: int = 0) -> Tensor:
    """Return `(3, 2, 8, 8)` regions that fill the given numbers of pixels of every slice."""
    filled = torch.zeros(3, 2, 64)
    for region, count in zip(filled, (whole, core, enhancing), strict=True):
        region[:, :count] = 1
    return filled.reshape(3, 2, 8, 8)


def test_each_region_has_its_own_dice() -> None:
    dice = region_dice(regions(40, 20, 10), regions(40, 10, 30))
    assert dice == pytest.approx({TumourRegion.WT: 1.0, TumourRegion.TC: 2 / 3, TumourRegion.ET: 0.5})


def test_both_empty_counts_1() -> None:
    assert region_dice(regions(10), regions(10)) == {TumourRegion.WT: 1, TumourRegion.TC: 1, TumourRegion.ET: 1}


@pytest.mark.parametrize("missed", [True, False])
def test_one_empty_counts_0(missed: bool) -> None:
    pair = regions(10, 10, 0), regions(10, 10, 5)
    dice = region_dice(*(pair if missed else reversed(pair)))
    assert dice[TumourRegion.ET] == 0
    assert dice[TumourRegion.TC] == 1


def test_dice_is_of_the_whole_volume_and_not_a_mean_of_slices() -> None:
    predicted, truth = regions(10), regions(10)
    predicted[0, 1] = 0
    assert region_dice(predicted, truth)[TumourRegion.WT] == pytest.approx(2 * 10 / 30)


def test_values_are_plain_floats() -> None:
    assert {type(value) for value in region_dice(regions(3, 2, 1), regions(4, 3, 2)).values()} == {float}


SPACING_MM = (3.0, 1.5, 1.0)


def surface_distances(one: Tensor, other: Tensor) -> np.ndarray:  # type: ignore[type-arg]
    """Return the distances of one region's surface voxels to the other's surface, with SimpleITK."""
    images = [SimpleITK.GetImageFromArray(region.numpy().astype(np.uint8)) for region in (one, other)]
    for image in images:
        image.SetSpacing(SPACING_MM[::-1])
    own, far = (SimpleITK.BinaryContour(image, fullyConnected=False) for image in images)
    far_map = SimpleITK.SignedMaurerDistanceMap(far, squaredDistance=False, useImageSpacing=True)
    distances = np.abs(SimpleITK.GetArrayFromImage(far_map))
    return distances[SimpleITK.GetArrayFromImage(own) > 0]


def blobs(seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    smooth = torch.nn.functional.avg_pool3d(torch.rand(1, 3, 14, 18, 18, generator=draw), 5, 1, 2)[0]
    regions = (smooth > smooth.flatten(1).median(dim=1).values[:, None, None, None] + 0.02).float()
    regions[:, [0, -1]] = regions[:, :, [0, -1]] = regions[:, :, :, [0, -1]] = 0
    return regions


def test_the_distance_agrees_with_simpleitk() -> None:
    one, other = blobs(1), blobs(2)
    measured = region_hausdorff(one, other, SPACING_MM)
    for place, region in enumerate(TumourRegion):
        directed = [
            np.percentile(surface_distances(*pair), 95)
            for pair in ((one[place], other[place]), (other[place], one[place]))
        ]
        assert measured[region] == pytest.approx(max(directed), rel=1e-5)
        assert measured[region] > 1


def test_dice_agrees_with_simpleitk() -> None:
    one, other = blobs(3), blobs(4)
    measured = region_dice(one, other)
    for place, region in enumerate(TumourRegion):
        overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
        overlap.Execute(*(SimpleITK.GetImageFromArray(side[place].numpy().astype(np.uint8)) for side in (one, other)))
        assert measured[region] == pytest.approx(overlap.GetDiceCoefficient(), rel=1e-6)


def test_the_same_region_is_at_distance_0_and_a_shifted_one_at_its_shift() -> None:
    regions = torch.zeros(3, 10, 12, 12)
    regions[:, 3:6, 3:7, 3:7] = 1
    assert set(region_hausdorff(regions, regions, SPACING_MM).values()) == {0.0}
    shifted = regions.roll(2, dims=1)
    assert region_hausdorff(shifted, regions, SPACING_MM)[TumourRegion.WT] == pytest.approx(6)


def test_a_missed_region_has_the_distance_of_the_challenge_and_two_empty_ones_none() -> None:
    regions = torch.zeros(3, 6, 8, 8)
    assert set(region_hausdorff(regions, regions, SPACING_MM).values()) == {0.0}
    found = regions.clone()
    found[:, 2, 2, 2] = 1
    assert set(region_hausdorff(found, regions, SPACING_MM).values()) == {MISSED_REGION_MM}
    assert set(region_hausdorff(regions, found, SPACING_MM).values()) == {MISSED_REGION_MM}


def test_growth_loss_and_absence_are_told_apart() -> None:
    truth, predicted = torch.zeros(3, 2, 4, 4), torch.zeros(3, 2, 4, 4)
    truth[0, :, :2] = 1  # 16 voxels of whole tumour
    predicted[0, :, :3] = 1  # 24
    truth[1, :, :1] = 1  # a core that is not found; no enhancing tumour at all
    change = lesion_volume_change(predicted, truth)
    assert change[TumourRegion.WT] == pytest.approx(0.5)
    assert change[TumourRegion.TC] == pytest.approx(-1)
    assert math.isnan(change[TumourRegion.ET])


def test_volumes_agree_with_simpleitk() -> None:
    draw = torch.Generator().manual_seed(0)
    predicted, truth = ((torch.rand(3, 5, 9, 9, generator=draw) > share).float() for share in (0.4, 0.6))
    change = lesion_volume_change(predicted, truth)
    for place, region in enumerate(TumourRegion):
        volumes = []
        for side in (predicted, truth):
            statistics = SimpleITK.LabelShapeStatisticsImageFilter()
            statistics.Execute(SimpleITK.GetImageFromArray(side[place].numpy().astype(np.uint8)))
            volumes.append(statistics.GetPhysicalSize(1))
        assert change[region] == pytest.approx(volumes[0] / volumes[1] - 1)
