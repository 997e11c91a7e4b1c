"""Several sources in one network: images in their channels, and a tumour branch that begins as nothing."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from utad_monai.keys import Modality, SecondInput, SourceInput, StudentScheme
from utad_monai.networks import TumourAwareGenerator, generator_input, student_from_teacher
from utad_monai.networks.blocks import Fusion, SkipFusion

SWITCHES = {"sources": SourceInput.SEVERAL, "conditional_norms": True, "gain_head": True}


@pytest.fixture
def image() -> Tensor:
    """Four single images with background around."""
    draw = torch.Generator().manual_seed(1)
    image = torch.full((4, 1, 32, 48), -1.0)
    image[:, :, 6:26, 8:40] = torch.rand(4, 1, 20, 32, generator=draw) * 1.8 - 0.9
    return image


@pytest.fixture
def images(image: Tensor) -> Tensor:
    """Four samples of four images: all are there, or three, two, one."""
    images = image.roll(1, dims=0).repeat(1, 4, 1, 1) * torch.tensor([1.0, 0.5, -0.5, 0.2]).view(1, 4, 1, 1)
    images = torch.where(image > -1, images, torch.tensor(-1.0))
    for place in range(4):
        images[place, :place] = -1.0
    return images


def make(
    scheme: StudentScheme, second: SecondInput = SecondInput.TUMOUR_IMAGE, **switches: object
) -> TumourAwareGenerator:
    torch.manual_seed(0)
    return TumourAwareGenerator(2, scheme, second_input=second, **(SWITCHES | switches))  # type: ignore[arg-type]


@pytest.mark.parametrize("modality", Modality)
def test_a_single_image_goes_into_its_channel_and_the_others_are_absent(image: Tensor, modality: Modality) -> None:
    codes = torch.full((4,), modality.channel)
    given = generator_input(make(StudentScheme.GLOBAL_ONLY), image, codes)
    assert given.shape == (4, 4, 32, 48)
    assert torch.equal(given[:, modality.channel], image[:, 0])
    others = [other.channel for other in Modality if other is not modality]
    assert bool((given[:, others] == -1).all())


def test_samples_of_a_batch_may_be_of_different_modalities(image: Tensor) -> None:
    given = generator_input(make(StudentScheme.GLOBAL_ONLY), image, torch.tensor([3, 0, 2, 0]))
    places = torch.tensor([3, 0, 2, 0])
    assert torch.equal(given[torch.arange(4), places], image[:, 0])
    assert (given.amax(dim=(2, 3)) > -1).sum(dim=1).tolist() == [1] * 4


def test_images_that_have_all_channels_stay_as_they_are(image: Tensor, images: Tensor) -> None:
    codes = torch.zeros(4, dtype=torch.int64)
    assert generator_input(make(StudentScheme.GLOBAL_ONLY), images, codes) is images
    assert generator_input(TumourAwareGenerator(2), image, codes) is image


def test_gradients_reach_a_single_image(image: Tensor) -> None:
    image.requires_grad_()
    generator_input(make(StudentScheme.GLOBAL_ONLY), image, torch.tensor([3, 0, 2, 0])).sum().backward()
    assert image.grad is not None
    assert bool((image.grad == 1).all())


@pytest.mark.parametrize("training", [True, False])
def test_a_residual_fusion_gives_the_whole_image_at_the_start(training: bool) -> None:
    torch.manual_seed(0)
    whole, tumour = torch.randn(2, 8, 4, 4), torch.randn(2, 8, 4, 4)
    assert torch.equal(Fusion(8, residual=True).train(training)(whole, tumour), whole)
    assert not torch.allclose(Fusion(8).train(training)(whole, tumour), whole, atol=0.1)


def test_a_residual_fusion_learns_from_the_first_step() -> None:
    torch.manual_seed(0)
    fusion = Fusion(8, residual=True)
    whole, tumour = torch.randn(2, 8, 4, 4), torch.randn(2, 8, 4, 4)
    optimizer = torch.optim.SGD(fusion.parameters(), 1.0)
    (fusion(whole, tumour) - tumour).square().mean().backward()
    optimizer.step()
    made = fusion(whole, tumour)
    assert not torch.allclose(made, whole, atol=1e-3)
    assert (made - tumour).square().mean() < (whole - tumour).square().mean()


@pytest.mark.parametrize("second", SecondInput)
def test_a_taught_network_stays_what_it_is_when_it_gets_a_tumour_branch(images: Tensor, second: SecondInput) -> None:
    plain = make(StudentScheme.GLOBAL_ONLY, SecondInput.WHOLE_IMAGE)
    for parameter in plain.parameters():  # as if it had been taught: heads are 0 at the start
        torch.nn.init.normal_(parameter, std=0.1)
    complete = make(StudentScheme.COMPLETE, second, residual_fusion=True)
    missing, unexpected = complete.load_state_dict(plain.state_dict(), strict=False)
    assert unexpected == []
    assert {name.partition(".")[0] for name in missing} == {"tumour_encoder", "fusion", "skip_fusion", "tumour_decoder"}
    codes = torch.tensor([0, 1, 2, 3])
    second_images = torch.where(torch.rand(4, 1, 32, 48) < 0.2, images, torch.tensor(-1.0))
    for training in (True, False):
        given = images, second_images, codes
        expected, made = plain.train(training)(*given), complete.train(training)(*given)
        torch.testing.assert_close(made.image, expected.image)
        torch.testing.assert_close(made.bottleneck, expected.bottleneck)
    assert expected.image.std() > 0.1
    published = make(StudentScheme.COMPLETE, second)
    published.load_state_dict(plain.state_dict(), strict=False)
    assert not torch.allclose(published(images, second_images, codes).image, expected.image, atol=1e-2)


def test_the_tumour_branch_counts_once_it_has_learned(images: Tensor) -> None:
    teacher = make(StudentScheme.COMPLETE, residual_fusion=True).eval()
    for head in (teacher.image_decoder, teacher.fusion):
        for parameter in head.parameters():  # type: ignore[union-attr]
            torch.nn.init.normal_(parameter, std=0.2)
    codes, nothing = torch.tensor([0, 1, 2, 3]), torch.full_like(images, -1.0)
    assert not torch.allclose(teacher(images, images, codes).image, teacher(images, nothing, codes).image, atol=1e-3)


def test_fused_skips_are_the_images_and_a_share_of_the_tumours_at_every_level() -> None:
    torch.manual_seed(0)
    sizes = [(2, 2 * 2**level, 32 // 2**level, 48 // 2**level) for level in range(4)]
    image, tumour = ([torch.randn(size) for size in sizes] for _ in range(2))
    fusion = SkipFusion(2)
    fused = fusion(image, tumour)
    for place, layer in enumerate(fusion.levels):
        torch.testing.assert_close(fused[place], image[place] + layer(tumour[place]))
        assert not torch.allclose(fused[place], image[place], atol=1e-2)
    fusion.start_at_nothing()
    assert all(torch.equal(a, b) for a, b in zip(fusion(image, tumour), image, strict=True))


def test_a_student_that_begins_as_its_teachers_image_branch_paints_what_that_paints(images: Tensor) -> None:
    torch.manual_seed(0)
    teacher = make(StudentScheme.COMPLETE, residual_fusion=True)
    for parameter in teacher.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    student = student_from_teacher(teacher, "complete", warm_tumour_encoder=True).eval()
    alone = make(StudentScheme.GLOBAL_ONLY, SecondInput.WHOLE_IMAGE).eval()
    alone.load_state_dict({n: w for n, w in teacher.state_dict().items() if n in alone.state_dict()})
    codes = torch.tensor([0, 1, 2, 3])
    torch.testing.assert_close(student(images, images, codes).image, alone(images, images, codes).image)


def test_a_student_keeps_its_teachers_fusion() -> None:
    teacher = make(StudentScheme.COMPLETE, residual_fusion=True)
    student = student_from_teacher(teacher, "complete")
    assert student.residual_fusion
    assert student.fusion is not None
    assert student.fusion.residual
    again = TumourAwareGenerator(**student.description())  # type: ignore[arg-type]
    again.load_state_dict(copy.deepcopy(student.state_dict()))
    assert again.description() == student.description() == teacher.description() | {"second_input": "whole_image"}


def test_earlier_files_say_nothing_of_a_residual_fusion() -> None:
    assert "residual_fusion" not in TumourAwareGenerator(2).description()
    assert TumourAwareGenerator(2, residual_fusion=True).description()["residual_fusion"] is True


def test_a_students_tumour_encoder_may_begin_as_the_teachers_image_encoder() -> None:
    torch.manual_seed(0)
    teacher = TumourAwareGenerator(2, residual_fusion=True)
    fresh, warm = (student_from_teacher(teacher, "complete", warm_tumour_encoder=warm) for warm in (False, True))
    names = [name for name in teacher.state_dict() if name.startswith("image_encoder.")]
    for student, copied in ((fresh, False), (warm, True)):
        weights = student.state_dict()
        twins = [torch.equal(weights[name.replace("image_", "tumour_", 1)], weights[name]) for name in names]
        assert all(twins) is copied
        assert student.residual_fusion
