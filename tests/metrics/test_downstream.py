"""What a replaced modality is worth: channels in order, batches without effect, nothing changed in place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from utad_monai.keys import Modality, TumourRegion
from utad_monai.metrics import DownstreamSegmentation
from utad_monai.metrics.downstream import replace


class FirstThreeChannels(nn.Module):
    """Segments WT where FLAIR is positive, TC where T1 is, ET where T1ce is."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, image: Tensor) -> Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.batches.append(len(image))
        return image[:, :3]


@pytest.fixture
def images() -> dict[Modality, Tensor]:
    """Five slices; each modality is positive in rows of its own. The order of the keys is not that of the channels."""
    made = {modality: torch.full((5, 8, 8), -0.5) for modality in reversed(Modality)}
    for modality in Modality:
        made[modality][:, modality.channel] = 0.5
    return made


def test_channels_and_regions_are_in_their_order(images: dict[Modality, Tensor]) -> None:
    segmented = DownstreamSegmentation(FirstThreeChannels()).segment(images)
    assert segmented.shape == (3, 5, 8, 8)
    assert set(segmented.unique().tolist()) == {0, 1}
    for place, region in enumerate(segmented):
        assert bool((region[:, place] == 1).all())
        assert float(region.sum()) == 5 * 8


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_batch_size_does_not_matter(images: dict[Modality, Tensor], batch_size: int) -> None:
    network = FirstThreeChannels()
    segmented = DownstreamSegmentation(network, batch_size=batch_size).segment(images)
    assert torch.equal(segmented, DownstreamSegmentation(FirstThreeChannels()).segment(images))
    assert max(network.batches) <= batch_size
    assert sum(network.batches) == 5


def test_dice_is_1_against_itself_and_falls_when_a_modality_is_lost(images: dict[Modality, Tensor]) -> None:
    segmentation = DownstreamSegmentation(FirstThreeChannels())
    truth = segmentation.segment(images)
    assert segmentation.dice(images, truth) == dict.fromkeys(TumourRegion, 1.0)
    without_flair = segmentation.dice(replace(images, Modality.FLAIR, None), truth)
    assert without_flair == {TumourRegion.WT: 0, TumourRegion.TC: 1, TumourRegion.ET: 1}


def test_replace_fills_one_modality_and_leaves_the_input_alone(images: dict[Modality, Tensor]) -> None:
    before = {modality: image.clone() for modality, image in images.items()}
    substitute = torch.rand(5, 8, 8)
    filled = replace(images, Modality.T1, substitute)
    assert filled[Modality.T1] is substitute
    assert all(filled[m] is images[m] for m in Modality if m != Modality.T1)
    assert bool((replace(images, Modality.T2, None)[Modality.T2] == -1).all())
    assert all(torch.equal(images[m], before[m]) for m in Modality)
