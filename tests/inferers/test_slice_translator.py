"""Slices through a generator: batches do not matter, blank slices are skipped, a teacher needs masks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from transforms import mask_tumour
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import Modality, StudentScheme
from utad_monai.networks import TumourAwareGenerator, student_from_teacher


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
    translated = SliceTranslator(student)(slices, Modality.T1CE)
    torch.testing.assert_close(translated[[0, 2, 3]], expected[:, 0])


def test_blank_slices_stay_blank_and_are_not_computed(student: TumourAwareGenerator, slices: Tensor) -> None:
    sizes: list[int] = []
    student.image_encoder.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    translated = SliceTranslator(student, batch_size=2)(slices, Modality.T2)
    assert bool((translated[[1, 4]] == -1).all())
    assert sizes == [2, 1]


def test_volume_without_brain_is_returned_blank(student: TumourAwareGenerator) -> None:
    blank = torch.full((3, 32, 32), -1.0)
    assert torch.equal(SliceTranslator(student)(blank, Modality.T1), blank)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_batch_size_does_not_matter(student: TumourAwareGenerator, slices: Tensor, batch_size: int) -> None:
    whole = SliceTranslator(student, batch_size=5)(slices, Modality.T1)
    # instance norm over the four pixels of a bottleneck enlarges the rounding of differently batched convolutions
    translated = SliceTranslator(student, batch_size=batch_size)(slices, Modality.T1)
    torch.testing.assert_close(translated, whole, rtol=0, atol=1e-3)


def test_student_ignores_the_mask(student: TumourAwareGenerator, slices: Tensor, mask: Tensor) -> None:
    translator = SliceTranslator(student)
    assert not translator.needs_mask
    assert torch.equal(translator(slices, Modality.T1, mask), translator(slices, Modality.T1))


def test_teacher_sees_the_tumour_image(teacher: TumourAwareGenerator, slices: Tensor, mask: Tensor) -> None:
    translator = SliceTranslator(teacher)
    assert translator.needs_mask
    image, chosen = slices[[0, 2, 3], None], mask[[0, 2, 3], None]
    with torch.no_grad():
        expected = teacher.eval()(image, mask_tumour(image, chosen), torch.zeros(3, dtype=torch.long)).image
    torch.testing.assert_close(translator(slices, Modality.FLAIR, mask)[[0, 2, 3]], expected[:, 0])


def test_teacher_without_masks_is_refused(teacher: TumourAwareGenerator, slices: Tensor) -> None:
    with pytest.raises(ValueError, match="needs tumour masks"):
        SliceTranslator(teacher)(slices, Modality.T1)


def test_generator_without_tumour_encoder_needs_no_mask() -> None:
    assert not SliceTranslator(TumourAwareGenerator(2, StudentScheme.GLOBAL_ONLY)).needs_mask


@pytest.mark.parametrize("training", [True, False])
def test_generators_mode_is_restored_and_its_statistics_untouched(
    student: TumourAwareGenerator, slices: Tensor, training: bool
) -> None:
    student.train(training)
    before = {name: buffer.clone() for name, buffer in student.named_buffers()}
    SliceTranslator(student)(slices, Modality.T1)
    assert student.training is training
    assert all(torch.equal(buffer, before[name]) for name, buffer in student.named_buffers())


def test_tumour_decoder_is_not_run(student: TumourAwareGenerator, slices: Tensor) -> None:
    calls: list[int] = []
    assert student.tumour_decoder is not None
    student.tumour_decoder.register_forward_hook(lambda *_: calls.append(1))
    SliceTranslator(student)(slices, Modality.T1)
    assert calls == []
