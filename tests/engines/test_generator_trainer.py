"""A generator alone: its step takes the terms of handlers, whole or in parts, and shows the network what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from monai.engines import IterationEvents
from torch import Tensor
from torch.optim import SGD

from utad_monai.engines import GeneratorTrainer, TranslationEvents
from utad_monai.engines.batch import prepare_teaching_batch
from utad_monai.handlers import Teaching
from utad_monai.keys import BatchKey, LossTerm, OutputKey, SecondInput, SourceInput, StudentScheme
from utad_monai.losses import LossWeights
from utad_monai.networks import TumourAwareGenerator

SIZE = 32
WEIGHTS = LossWeights(paired=10, paired_tumour=1, paired_local=10)
Batch = dict[str, Any]


def make_batch(count: int = 4, channels: int = 4, seed: int = 0) -> Batch:
    """Return a batch like those of the phantom: of each sample one or more images are there, the target is not."""
    draw = torch.Generator().manual_seed(seed)
    image, mask = torch.full((count, channels, SIZE, SIZE), -1.0), torch.zeros(count, 1, SIZE, SIZE)
    image[:, :, 4:28, 6:26] = torch.rand(count, channels, 24, 20, generator=draw) * 1.6 - 0.8
    target = image.mean(dim=1, keepdim=True) * -0.5 * (image[:, :1] > -1) - (image[:, :1] == -1).float()
    mask[:, :, 10:16, 12:20] = 1
    modality = torch.arange(count) % 4
    if channels == 4:
        image[torch.arange(count), modality] = -1
    return {
        BatchKey.IMAGE: image,
        BatchKey.TARGET_IMAGE: target,
        BatchKey.TUMOUR_MASK: mask,
        BatchKey.SOURCE_MODALITY: (modality + 1) % 4,
        BatchKey.TARGET_MODALITY: modality,
        BatchKey.CASE_ID: [f"phantom {place}" for place in range(count)],
    }


def make_generator(
    scheme: StudentScheme = StudentScheme.GLOBAL_ONLY, second: SecondInput = SecondInput.WHOLE_IMAGE, **switches: Any
) -> TumourAwareGenerator:
    torch.manual_seed(0)
    several = {"sources": SourceInput.SEVERAL, "conditional_norms": True, "gain_head": True}
    return TumourAwareGenerator(2, scheme, second_input=second, **(several | switches))


def make_trainer(
    generator: TumourAwareGenerator, batches: Sequence[Batch], epochs: int = 1, rate: float = 0.01, **arguments: Any
) -> GeneratorTrainer:
    optimizer = SGD(generator.parameters(), rate)
    arguments = {"loss_weights": WEIGHTS, "train_handlers": [Teaching()]} | arguments
    return GeneratorTrainer(
        "cpu", epochs, train_data_loader=batches, generator=generator, generator_optimizer=optimizer, **arguments
    )


def test_every_iteration_moves_the_generator() -> None:
    generator = make_generator()
    trainer = make_trainer(generator, [make_batch(), make_batch(seed=1)])
    before = [weight.clone() for weight in generator.parameters()]
    moved: list[bool] = []

    def note(_: GeneratorTrainer) -> None:
        moved.append(any(not torch.equal(w, b) for w, b in zip(generator.parameters(), before, strict=True)))
        before[:] = [weight.clone() for weight in generator.parameters()]

    trainer.add_event_handler(TranslationEvents.GENERATOR_UPDATED, note)
    trainer.run()
    assert moved == [True, True]


def test_what_is_taught_is_learned() -> None:
    losses: list[float] = []
    trainer = make_trainer(make_generator(), [make_batch()], epochs=12)
    trainer.add_event_handler(IterationEvents.MODEL_COMPLETED, lambda e: losses.append(e.state.output[LossTerm.PAIRED]))
    trainer.run()
    assert len(losses) == 12
    assert losses[-1] < 0.9 * losses[0]


def test_output_has_the_total_and_every_term() -> None:
    trainer = make_trainer(make_generator(), [make_batch()])
    trainer.run()
    output = trainer.state.output
    assert set(output) == {OutputKey.LOSS, LossTerm.PAIRED, LossTerm.PAIRED_TUMOUR}
    assert output[OutputKey.LOSS] == pytest.approx(10 * output[LossTerm.PAIRED] + output[LossTerm.PAIRED_TUMOUR])


def test_stages_follow_each_other() -> None:
    seen: list[str] = []
    trainer = make_trainer(make_generator(), [make_batch(), make_batch()])
    for event in TranslationEvents:
        trainer.add_event_handler(event, lambda _, name=event.name: seen.append(name))
    trainer.run()
    assert seen == ["GENERATOR_FORWARD_COMPLETED", "GENERATOR_UPDATED"] * 2


def test_without_terms_nothing_can_be_learned() -> None:
    with pytest.raises(ValueError, match="no loss term"):
        make_trainer(make_generator(), [make_batch()], train_handlers=[]).run()


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_a_batch_in_parts_gives_the_same_update(parts: int) -> None:
    whole, cut = make_generator(), make_generator()
    outputs = []
    for generator, accumulate in ((whole, 1), (cut, parts)):
        trainer = make_trainer(generator, [make_batch(5)], accumulate=accumulate)
        trainer.run()
        outputs.append(trainer.state.output)
    assert outputs[1] == pytest.approx(outputs[0], rel=1e-5)
    for one, two in zip(whole.parameters(), cut.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_every_part_has_its_own_targets() -> None:
    batch = prepare_teaching_batch(make_batch(5), "cpu")
    assert batch.target_image is not None
    parts = [part.target_image for part in batch.parts(2)]
    assert [len(part) for part in parts if part is not None] == [3, 2]
    assert torch.equal(torch.cat([part for part in parts if part is not None]), batch.target_image)


@pytest.mark.parametrize("arguments", [{"accumulate": 0}, {"amp": "float8"}])
def test_nonsense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"accumulate must be at least 1|float8"):
        make_trainer(make_generator(), [make_batch()], **arguments)


@pytest.mark.parametrize("gain_head", [True, False])
def test_bfloat16_gives_terms_in_float32(gain_head: bool) -> None:
    trainer = make_trainer(make_generator(gain_head=gain_head), [make_batch()], amp="bfloat16")
    trainer.run()
    assert trainer.translation is not None
    assert trainer.translation.image.dtype == trainer.translation.bottleneck.dtype == torch.float32
    exact = make_trainer(make_generator(gain_head=gain_head), [make_batch()])
    exact.run()
    assert trainer.state.output[OutputKey.LOSS] == pytest.approx(exact.state.output[OutputKey.LOSS], rel=0.05)


def test_gradients_of_earlier_steps_are_gone() -> None:
    gradients = []
    for epochs in (1, 3):
        generator = make_generator()
        make_trainer(generator, [make_batch()], epochs, rate=0.0).run()
        gradients.append([weight.grad for weight in generator.parameters() if weight.grad is not None])
    for once, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, once)


@pytest.mark.parametrize("second", SecondInput)
def test_the_tumour_encoder_sees_the_tumour_of_every_source_or_the_images(second: SecondInput) -> None:
    generator = make_generator(StudentScheme.COMPLETE, second, residual_fusion=True)
    seen: list[Tensor] = []
    generator.register_forward_pre_hook(lambda _, given: seen.extend(given[:2]))
    batch = make_batch()
    make_trainer(generator, [batch]).run()
    image, given = seen
    assert torch.equal(image, batch[BatchKey.IMAGE])
    expected = image
    if second is SecondInput.TUMOUR_IMAGE:
        expected = torch.where(batch[BatchKey.TUMOUR_MASK] > 0, image, torch.tensor(-1.0))
    torch.testing.assert_close(given, expected)


def test_a_teacher_learns_its_tumour_image_too() -> None:
    generator = make_generator(StudentScheme.COMPLETE, SecondInput.TUMOUR_IMAGE)
    trainer = make_trainer(generator, [make_batch()])
    before = [weight.clone() for weight in generator.tumour_decoder.parameters()]  # type: ignore[union-attr]
    trainer.run()
    assert trainer.state.output[LossTerm.PAIRED_LOCAL] > 0
    after = generator.tumour_decoder.parameters()  # type: ignore[union-attr]
    assert any(not torch.equal(one, two) for one, two in zip(before, after, strict=True))


def test_a_generator_of_one_source_can_be_taught() -> None:
    generator = make_generator(sources=SourceInput.ONE)
    make_trainer(generator, [make_batch(channels=1)]).run()


def test_a_generator_of_several_sources_takes_single_images_in_their_channels() -> None:
    generator, batch = make_generator(), make_batch(channels=1)
    seen: list[Tensor] = []
    generator.register_forward_pre_hook(lambda _, given: seen.extend(given[:2]))
    make_trainer(generator, [batch]).run()
    for place, modality in enumerate(batch[BatchKey.SOURCE_MODALITY]):
        assert torch.equal(seen[0][place, modality], batch[BatchKey.IMAGE][place, 0])
        assert int((seen[0][place].amax(dim=(1, 2)) > -1).sum()) == 1


def test_what_decides_the_steps_is_in_the_identity() -> None:
    first = make_trainer(make_generator(), [make_batch()]).identity()
    changes: list[dict[str, Any]] = [{"accumulate": 2}, {"amp": "bfloat16"}, {"loss_weights": LossWeights(paired=1)}]
    for change in changes:
        assert make_trainer(make_generator(), [make_batch()], **change).identity() != first
    assert make_trainer(make_generator(), [make_batch()]).identity() == first


def test_the_scale_of_the_loss_is_part_of_the_state() -> None:
    trainer = make_trainer(make_generator(), [make_batch()])
    trainer.run()
    assert "loss_scale" in trainer.state_dict()
