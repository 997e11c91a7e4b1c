"""Distillation adds its terms to the student's step and leaves the teacher as it is, to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine
from torch import Tensor
from torch.optim import SGD

from utad_monai.engines import TranslationEvents, TranslationTrainer
from utad_monai.handlers import DistillationHandler
from utad_monai.keys import BatchKey, LossTerm, StudentScheme
from utad_monai.losses import LossWeights
from utad_monai.networks import TumourAwareGenerator, critic_pair, student_from_teacher
from utad_monai.transforms import mask_tumour

DISTILLED = {LossTerm.IMAGE_DISTILLATION, LossTerm.FEATURE_DISTILLATION}


@pytest.fixture
def teacher() -> TumourAwareGenerator:
    torch.manual_seed(0)
    return TumourAwareGenerator(2)


@pytest.fixture
def batch() -> dict[str, Any]:
    torch.manual_seed(1)
    image, mask = torch.full((2, 1, 32, 32), -1.0), torch.zeros(2, 1, 32, 32)
    image[:, :, 4:28, 6:26] = torch.rand(2, 1, 24, 20) * 1.6 - 0.8
    mask[:, :, 10:16, 12:20] = 1
    return {
        BatchKey.IMAGE: image,
        BatchKey.TUMOUR_MASK: mask,
        BatchKey.SOURCE_MODALITY: torch.tensor([0, 2]),
        BatchKey.TARGET_MODALITY: torch.tensor([3, 1]),
        BatchKey.CASE_ID: ["a", "b"],
    }


def make_trainer(
    student: TumourAwareGenerator,
    teacher: TumourAwareGenerator,
    batches: list[Any],
    critic_steps: int = 1,
    loss_weights: LossWeights | None = None,
) -> TranslationTrainer:
    critics = critic_pair((32, 32), 2, 4)
    return TranslationTrainer(
        "cpu",
        1,
        train_data_loader=batches,
        generator=student,
        whole_critic=critics[0],
        tumour_critic=critics[1],
        generator_optimizer=SGD(student.parameters(), 1e-3),
        critic_optimizer=SGD([weight for critic in critics for weight in critic.parameters()], 1e-3),
        loss_weights=loss_weights,
        critic_steps=critic_steps,
        train_handlers=[DistillationHandler(teacher)],
    )


@pytest.mark.parametrize("scheme", StudentScheme)
def test_teacher_is_untouched_and_the_student_learns(
    teacher: TumourAwareGenerator, batch: dict[str, Any], scheme: StudentScheme
) -> None:
    student = student_from_teacher(teacher, scheme)
    taught = {name: value.clone() for name, value in teacher.state_dict().items()}
    before = {name: value.clone() for name, value in student.state_dict().items()}
    trainer = make_trainer(student, teacher, [batch, batch])
    trainer.run()
    assert set(trainer.state.output) >= DISTILLED
    assert all(trainer.state.output[name] > 0 for name in DISTILLED)
    assert all(torch.equal(value, taught[name]) for name, value in teacher.state_dict().items())
    assert all(weight.grad is None for weight in teacher.parameters())
    assert not teacher.training
    assert any(not torch.equal(value, before[name]) for name, value in student.state_dict().items())


@pytest.mark.parametrize("scheme", StudentScheme)
def test_bottlenecks_have_the_same_shape(
    teacher: TumourAwareGenerator, batch: dict[str, Any], scheme: StudentScheme
) -> None:
    image, target = batch[BatchKey.IMAGE], batch[BatchKey.TARGET_MODALITY]
    student = student_from_teacher(teacher, scheme)
    shapes = [tuple(net(image, image, target).bottleneck.shape) for net in (teacher, student)]
    assert shapes == [(2, 32, 2, 2)] * 2


def test_teacher_sees_the_tumour_image_and_the_student_the_whole_one(
    teacher: TumourAwareGenerator, batch: dict[str, Any]
) -> None:
    student = student_from_teacher(teacher, StudentScheme.COMPLETE)
    seen: dict[str, list[Tensor]] = {"teacher": [], "student": []}
    for name, network in (("teacher", teacher), ("student", student)):
        assert network.tumour_encoder is not None
        network.tumour_encoder.register_forward_hook(
            lambda _module, inputs, _output, name=name: seen[name].append(inputs[0][:, :1].detach().clone())
        )
    make_trainer(student, teacher, [batch]).run()
    image = batch[BatchKey.IMAGE]
    assert len(seen["teacher"]) == 1
    assert torch.equal(seen["teacher"][0], mask_tumour(image, batch[BatchKey.TUMOUR_MASK]))
    assert torch.equal(seen["student"][0], image)


def test_teachers_tumour_decoder_is_not_run(teacher: TumourAwareGenerator, batch: dict[str, Any]) -> None:
    calls: list[int] = []
    assert teacher.tumour_decoder is not None
    teacher.tumour_decoder.register_forward_hook(lambda *_: calls.append(1))
    make_trainer(student_from_teacher(teacher, "complete"), teacher, [batch]).run()
    assert calls == []


def test_teacher_is_run_on_generator_updates_only(teacher: TumourAwareGenerator, batch: dict[str, Any]) -> None:
    calls: list[int] = []
    teacher.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    make_trainer(student_from_teacher(teacher, "complete"), teacher, [batch] * 5, critic_steps=2).run()
    assert len(calls) == 2


def test_terms_are_there_before_the_generators_update(teacher: TumourAwareGenerator, batch: dict[str, Any]) -> None:
    trainer = make_trainer(student_from_teacher(teacher, "complete"), teacher, [batch])
    seen: list[set[LossTerm]] = []
    trainer.add_event_handler(
        TranslationEvents.GENERATOR_FORWARD_COMPLETED, lambda engine: seen.append(set(engine.generator_terms))
    )
    trainer.run()
    assert seen[0] >= DISTILLED


def test_tumour_distillation_appears_only_when_it_is_switched_on(
    teacher: TumourAwareGenerator, batch: dict[str, Any]
) -> None:
    for weight in (0.0, 1.0):
        weights = LossWeights(tumour_distillation=weight)
        trainer = make_trainer(student_from_teacher(teacher, "complete"), teacher, [batch], loss_weights=weights)
        trainer.run()
        assert (LossTerm.TUMOUR_DISTILLATION in trainer.state.output) == (weight > 0)


def test_tumour_distillation_is_the_distance_from_the_teachers_translation_inside_the_tumour(
    teacher: TumourAwareGenerator, batch: dict[str, Any]
) -> None:
    student = student_from_teacher(teacher, "complete")
    image, mask, target = (batch[key] for key in (BatchKey.IMAGE, BatchKey.TUMOUR_MASK, BatchKey.TARGET_MODALITY))
    trainer = make_trainer(student, teacher, [batch], loss_weights=LossWeights(tumour_distillation=1))
    made: list[Tensor] = []
    trainer.add_event_handler(
        TranslationEvents.GENERATOR_FORWARD_COMPLETED, lambda engine: made.append(engine.translation.image.detach())
    )
    trainer.run()
    taught = teacher(image, mask_tumour(image, mask), target).image
    apart = float((made[0] - taught)[mask > 0].abs().mean())  # both tumours have the same size
    assert trainer.state.output[LossTerm.TUMOUR_DISTILLATION] == pytest.approx(apart, rel=1e-5)


def test_exact_copy_of_the_teacher_that_sees_the_same_costs_nothing(batch: dict[str, Any]) -> None:
    teacher = TumourAwareGenerator(2, StudentScheme.GLOBAL_ONLY, second_input="whole_image")
    trainer = make_trainer(student_from_teacher(teacher, StudentScheme.GLOBAL_ONLY), teacher, [batch])
    trainer.run()
    assert {trainer.state.output[name] for name in DISTILLED} == {0}


def test_teacher_of_another_width_is_refused(batch: dict[str, Any]) -> None:
    student = student_from_teacher(TumourAwareGenerator(2), "complete")
    with pytest.raises(ValueError, match="bottlenecks differ"):
        make_trainer(student, TumourAwareGenerator(3), [batch]).run()


def test_use_outside_a_training_step_is_refused(teacher: TumourAwareGenerator, batch: dict[str, Any]) -> None:
    handler = DistillationHandler(teacher)
    with pytest.raises(RuntimeError, match="inside the training step"):
        handler(Engine(lambda *_: None))
    with pytest.raises(RuntimeError, match="inside the training step"):
        handler(make_trainer(student_from_teacher(teacher, "complete"), teacher, [batch]))


def test_a_student_follows_its_teacher_even_where_there_is_a_true_target(
    teacher: TumourAwareGenerator, batch: dict[str, Any]
) -> None:
    truth = torch.full_like(batch[BatchKey.IMAGE], 0.25)
    paired = batch | {BatchKey.TARGET_IMAGE: truth, BatchKey.PAIRED: torch.tensor([True, True])}
    found = []
    for one in (batch, paired):
        torch.manual_seed(3)
        trainer = make_trainer(student_from_teacher(teacher, StudentScheme.COMPLETE), teacher, [one])
        trainer.run()
        found.append(trainer.state.output[str(LossTerm.IMAGE_DISTILLATION)])
    assert found[0] == found[1] > 0
