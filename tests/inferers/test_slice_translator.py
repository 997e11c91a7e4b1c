"""Slices through a generator: batches do not matter, blank slices are skipped, several sources are stacked."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from utad_monai.inferers import MirroringTranslator, SliceTranslator, source_channels
from utad_monai.inferers.slice_translator import both_ways
from utad_monai.keys import Modality, SecondInput, StudentScheme
from utad_monai.networks import TumourAwareGenerator, student_from_teacher
from utad_monai.transforms import mask_tumour

SOURCE = Modality.T1
FLAIR, T1, T1CE, T2 = Modality


@pytest.fixture
def teacher() -> TumourAwareGenerator:
    torch.manual_seed(0)
    return TumourAwareGenerator(2)


@pytest.fixture
def student(teacher: TumourAwareGenerator) -> TumourAwareGenerator:
    return student_from_teacher(teacher, "complete")


@pytest.fixture
def slices() -> Tensor:
    """Five slices, of which the second and the last are blank."""
    torch.manual_seed(1)
    slices = torch.full((5, 32, 32), -1.0)
    slices[[0, 2, 3], 4:28, 6:26] = torch.rand(3, 24, 20) * 1.6 - 0.8
    return slices


@pytest.fixture
def mask() -> Tensor:
    mask = torch.zeros(5, 32, 32)
    mask[2, 8:16, 8:16] = 1
    return mask


def test_translation_is_the_generators_own(student: TumourAwareGenerator, slices: Tensor) -> None:
    image = slices[[0, 2, 3], None]
    with torch.no_grad():
        expected = student.eval()(image, image, torch.full((3,), Modality.T1CE.channel)).image
    translated = SliceTranslator(student)({SOURCE: slices}, Modality.T1CE)
    torch.testing.assert_close(translated[[0, 2, 3]], expected[:, 0])


def test_blank_slices_stay_blank_and_are_not_computed(student: TumourAwareGenerator, slices: Tensor) -> None:
    sizes: list[int] = []
    student.image_encoder.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    translated = SliceTranslator(student, batch_size=2)({SOURCE: slices}, Modality.T2)
    assert bool((translated[[1, 4]] == -1).all())
    assert sizes == [2, 1]


def test_volume_without_brain_is_returned_blank(student: TumourAwareGenerator) -> None:
    blank = torch.full((3, 32, 32), -1.0)
    assert torch.equal(SliceTranslator(student)({SOURCE: blank}, Modality.T1), blank)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_batch_size_does_not_matter(student: TumourAwareGenerator, slices: Tensor, batch_size: int) -> None:
    whole = SliceTranslator(student, batch_size=5)({SOURCE: slices}, Modality.T1)
    # instance norm over the four pixels of a bottleneck enlarges the rounding of differently batched convolutions
    translated = SliceTranslator(student, batch_size=batch_size)({SOURCE: slices}, Modality.T1)
    torch.testing.assert_close(translated, whole, rtol=0, atol=1e-3)


def test_student_ignores_the_mask(student: TumourAwareGenerator, slices: Tensor, mask: Tensor) -> None:
    translator = SliceTranslator(student)
    assert not translator.needs_mask
    assert torch.equal(translator({SOURCE: slices}, Modality.T1, mask), translator({SOURCE: slices}, Modality.T1))


def test_teacher_sees_the_tumour_image(teacher: TumourAwareGenerator, slices: Tensor, mask: Tensor) -> None:
    translator = SliceTranslator(teacher)
    assert translator.needs_mask
    image, chosen = slices[[0, 2, 3], None], mask[[0, 2, 3], None]
    with torch.no_grad():
        expected = teacher.eval()(image, mask_tumour(image, chosen), torch.zeros(3, dtype=torch.long)).image
    torch.testing.assert_close(translator({SOURCE: slices}, Modality.FLAIR, mask)[[0, 2, 3]], expected[:, 0])


def test_teacher_without_masks_is_refused(teacher: TumourAwareGenerator, slices: Tensor) -> None:
    with pytest.raises(ValueError, match="needs tumour masks"):
        SliceTranslator(teacher)({SOURCE: slices}, Modality.T1)


def test_generator_without_tumour_encoder_needs_no_mask() -> None:
    assert not SliceTranslator(TumourAwareGenerator(2, StudentScheme.GLOBAL_ONLY)).needs_mask


@pytest.mark.parametrize("training", [True, False])
def test_generators_mode_is_restored_and_its_statistics_untouched(
    student: TumourAwareGenerator, slices: Tensor, training: bool
) -> None:
    student.train(training)
    before = {name: buffer.clone() for name, buffer in student.named_buffers()}
    SliceTranslator(student)({SOURCE: slices}, Modality.T1)
    assert student.training is training
    assert all(torch.equal(buffer, before[name]) for name, buffer in student.named_buffers())


def test_tumour_decoder_is_not_run(student: TumourAwareGenerator, slices: Tensor) -> None:
    calls: list[int] = []
    assert student.tumour_decoder is not None
    student.tumour_decoder.register_forward_hook(lambda *_: calls.append(1))
    SliceTranslator(student)({SOURCE: slices}, Modality.T1)
    assert calls == []


def everywhere(*values: float) -> Tensor:
    """Return slices `(2, 32, 32)`: brain of a value, or -1, in each."""
    slices = torch.full((len(values), 32, 32), -1.0)
    for place, value in enumerate(values):
        if value > -1:
            slices[place, 4:28, 6 + place : 26 - place] = value
    return slices


@pytest.fixture
def of_several() -> TumourAwareGenerator:
    """A generator of several sources whose weights are not zero anywhere."""
    torch.manual_seed(0)
    network = TumourAwareGenerator(
        2,
        "global_only",
        second_input=SecondInput.WHOLE_IMAGE,
        sources="several",
        conditional_norms=True,
        gain_head=True,
    )
    with torch.no_grad():
        for weight in network.parameters():
            if not bool(weight.any()):
                weight.normal_(0, 0.3)
    return network.eval()


def test_several_images_are_stacked_in_modality_order_and_absent_ones_are_background(
    of_several: TumourAwareGenerator, slices: Tensor
) -> None:
    other = -slices.where(slices > -1, torch.tensor(1.0))
    stacked = torch.full((5, 4, 32, 32), -1.0)
    stacked[:, 0], stacked[:, 3] = other, slices
    image = stacked[[0, 2, 3]]
    with torch.no_grad():
        expected = of_several(image, image, torch.full((3,), T1CE.channel)).image
    translated = SliceTranslator(of_several)({T2: slices, FLAIR: other}, T1CE)
    torch.testing.assert_close(translated[[0, 2, 3]], expected[:, 0])
    assert bool((translated[[1, 4]] == -1).all())


def test_slice_is_computed_when_any_image_shows_brain_there(of_several: TumourAwareGenerator) -> None:
    images = {FLAIR: everywhere(0.2, -1, -1), T2: everywhere(-1, 0.4, -1)}
    sizes: list[int] = []
    of_several.image_encoder.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    translated = SliceTranslator(of_several)(images, T1)
    assert sizes == [2]
    assert torch.equal(translated > -1, (images[FLAIR] > -1) | (images[T2] > -1))


def test_every_further_source_counts(of_several: TumourAwareGenerator) -> None:
    translate = SliceTranslator(of_several)
    one, two = {FLAIR: everywhere(0.2, 0.5)}, {FLAIR: everywhere(0.2, 0.5), T2: everywhere(-0.3, 0.1)}
    assert not torch.allclose(translate(one, T1), translate(two, T1))


def test_target_is_never_one_of_several_sources(of_several: TumourAwareGenerator) -> None:
    with pytest.raises(ValueError, match="an image of t1 is among the sources that t1 is made from"):
        SliceTranslator(of_several)({FLAIR: everywhere(0.2), T1: everywhere(0.3)}, T1)


def test_generator_of_one_source_takes_one_image(student: TumourAwareGenerator) -> None:
    with pytest.raises(ValueError, match="takes one source image, got flair, t2"):
        SliceTranslator(student)({FLAIR: everywhere(0.2), T2: everywhere(0.3)}, T1)


def test_no_image_is_refused(student: TumourAwareGenerator, of_several: TumourAwareGenerator) -> None:
    for generator in (student, of_several):
        with pytest.raises(ValueError, match="no source image to make t1 from"):
            SliceTranslator(generator)({}, T1)


def test_teacher_of_several_sources_sees_the_tumour_of_each(slices: Tensor, mask: Tensor) -> None:
    torch.manual_seed(0)
    teacher = TumourAwareGenerator(2, sources="several", conditional_norms=True).eval()
    stacked = torch.full((1, 4, 32, 32), -1.0)
    stacked[0, 0], stacked[0, 3] = slices[2], slices[3]
    with torch.no_grad():
        expected = teacher(stacked, mask_tumour(stacked, mask[2][None, None]), torch.tensor([T1.channel])).image
    translated = SliceTranslator(teacher)({FLAIR: slices[2:3], T2: slices[3:4]}, T1, mask[2:3])
    torch.testing.assert_close(translated, expected[:, 0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_half_precision_slices_are_computed_in_float32(
    of_several: TumourAwareGenerator, slices: Tensor, dtype: torch.dtype
) -> None:
    stacked = source_channels({T2: slices.to(dtype)}, several=True)
    assert stacked.dtype == torch.float32
    assert SliceTranslator(of_several)({T2: slices.to(dtype)}, T1).dtype == dtype


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
