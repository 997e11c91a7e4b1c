from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK
import torch

from utad_monai.keys import TumourRegion
from utad_monai.metrics.lesion_volume import lesion_volume_change


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
