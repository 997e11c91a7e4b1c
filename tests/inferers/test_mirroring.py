"""Mirror images: translated too, brought back, averaged; the tumour mask goes with them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from utad_monai.inferers import MirroringTranslator, SliceTranslator
from utad_monai.inferers.mirroring import both_ways
from utad_monai.keys import Modality
from utad_monai.networks import TumourAwareGenerator

Images = Mapping[Modality, Tensor]


@pytest.fixture
def images() -> dict[Modality, Tensor]:
    draw = torch.Generator().manual_seed(0)
    slices = torch.full((2, 32, 32), -1.0)
    slices[:, 4:28, 6:20] = torch.rand(2, 24, 14, generator=draw) * 1.8 - 0.9
    return {Modality.T1: slices, Modality.FLAIR: slices.neg().where(slices > -1, -1.0)}


@pytest.fixture
def several() -> SliceTranslator:
    torch.manual_seed(0)
    generator = TumourAwareGenerator(2, "global_only", sources="several", conditional_norms=True, gain_head=True)
    for weight in generator.parameters():  # begun as nothing, it would be symmetric
        torch.nn.init.normal_(weight, std=0.3)
    return SliceTranslator(generator)


def test_translation_is_the_mean_of_both_ways_and_mirrors_with_its_images(
    images: Images, several: SliceTranslator
) -> None:
    translate = MirroringTranslator(several)
    made = translate(images, Modality.T2)
    plain = several(images, Modality.T2)
    mirrored = {source: image.flip(-1) for source, image in images.items()}
    torch.testing.assert_close(made, (plain + several(mirrored, Modality.T2).flip(-1)) / 2)
    assert not torch.allclose(made, plain, atol=1e-3)
    torch.testing.assert_close(translate(mirrored, Modality.T2).flip(-1), made)
    assert torch.equal(made > -1, images[Modality.T1] > -1)


def test_it_takes_as_many_sources_as_what_it_mirrors(several: SliceTranslator) -> None:
    assert MirroringTranslator(several).several
    assert not MirroringTranslator(SliceTranslator(TumourAwareGenerator(2, "global_only"))).several


def test_tumour_mask_is_mirrored_too(images: Images) -> None:
    def tumour_of(images: Images, _target: Modality, mask: Tensor | None) -> Tensor:
        assert mask is not None
        return images[Modality.T1] * mask

    mask = torch.zeros(2, 32, 32)
    mask[:, 10:20, 7:12] = 1
    plain, back = both_ways(tumour_of, images, Modality.T2, mask)
    assert torch.equal(plain, back)
    assert float(plain.abs().sum()) > 0
