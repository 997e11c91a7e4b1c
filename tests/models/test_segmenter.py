"""The network that tolerates gaps is found where it was trained, and missed by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNet

from utad_monai.data import Preprocessing
from utad_monai.models import CheckpointError, Segmenter, common_preprocessing, save_segmenter, tolerant_segmenter
from utad_monai.models.stages import Stage, model_path

ARGUMENTS = {"spatial_dims": 2, "in_channels": 4, "out_channels": 3, "channels": [4, 8], "strides": [2]}


def test_a_run_without_a_tolerant_network_has_none(tmp_path: Path) -> None:
    assert tolerant_segmenter(tmp_path) is None


def test_the_tolerant_network_is_the_one_of_its_own_folder(tmp_path: Path) -> None:
    network = UNet(**ARGUMENTS)
    save_segmenter(model_path(tmp_path, Stage.TOLERANT), Segmenter(network, Preprocessing(), arguments=ARGUMENTS))
    found = tolerant_segmenter(tmp_path)
    assert found is not None
    image = torch.rand(1, 4, 16, 16)
    assert torch.equal(found.network(image), network.eval()(image))


def test_a_tolerant_network_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = model_path(tmp_path, Stage.TOLERANT)
    path.parent.mkdir()
    path.write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="segmentation_tolerant"):
        tolerant_segmenter(tmp_path)


def test_a_tolerant_network_of_other_slices_is_refused() -> None:
    plain, other = (
        Segmenter(UNet(**ARGUMENTS), Preprocessing((240.0, 200.0), size), arguments=ARGUMENTS)
        for size in ((96, 80), (192, 160))
    )
    assert common_preprocessing([plain, None]) == plain.preprocessing
    with pytest.raises(CheckpointError, match="different preprocessing"):
        common_preprocessing([plain, other])
