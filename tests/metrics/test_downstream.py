"""What a replaced modality is worth: channels in order, batches without effect, nothing changed in place."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNet
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


def test_a_network_of_one_modality_sees_that_one_alone(images: dict[Modality, Tensor]) -> None:
    torch.manual_seed(0)
    single = DownstreamSegmentation(UNet(2, 1, 3, (4, 8), (2,)), modalities=[Modality.T2])
    segmented = single.segment({Modality.T2: images[Modality.T2]})
    assert torch.equal(single.segment(images), segmented)
    assert segmented.shape == (3, 5, 8, 8)


@pytest.mark.parametrize("residual_units", [0, 1])
def test_features_are_the_bottleneck_of_every_slice(images: dict[Modality, Tensor], residual_units: int) -> None:
    torch.manual_seed(0)
    network = UNet(2, 4, 3, (4, 8, 16), (2, 2), num_res_units=residual_units)
    segmentation = DownstreamSegmentation(network, batch_size=2)
    regions, features = segmentation.segment_with_features(images)
    assert torch.equal(regions, segmentation.segment(images))
    assert features.shape == (5, 16)
    other = replace(images, Modality.T1, images[Modality.T1].flip(1) * 0.5)
    assert not torch.equal(segmentation.segment_with_features(other)[1], features)
    assert not any(module._forward_hooks for module in network.modules())


def test_a_network_without_skip_connections_has_no_features(images: dict[Modality, Tensor]) -> None:
    with pytest.raises(TypeError, match="FirstThreeChannels has no skip connections"):
        DownstreamSegmentation(FirstThreeChannels()).segment_with_features(images)
