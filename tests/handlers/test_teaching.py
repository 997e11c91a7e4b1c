"""Teaching is a handler: it adds its terms inside the step, and says what it lacks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim import SGD

from utad_monai.engines import GeneratorTrainer, TranslationEvents, TranslationTrainer
from utad_monai.handlers import Teaching
from utad_monai.keys import BatchKey, LossTerm
from utad_monai.losses import LossWeights
from utad_monai.networks import TumourAwareGenerator, critic_pair

SIZE = 32


def make_batch() -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    image, mask = torch.full((2, 1, SIZE, SIZE), -1.0), torch.zeros(2, 1, SIZE, SIZE)
    image[:, :, 4:28, 6:26] = torch.rand(2, 1, 24, 20, generator=draw) * 1.6 - 0.8
    mask[:, :, 10:16, 12:20] = 1
    return {
        BatchKey.IMAGE: image,
        BatchKey.TARGET_IMAGE: -image * (image > -1) - (image == -1).float(),
        BatchKey.TUMOUR_MASK: mask,
        BatchKey.SOURCE_MODALITY: torch.tensor([0, 1]),
        BatchKey.TARGET_MODALITY: torch.tensor([2, 3]),
        BatchKey.CASE_ID: ["a", "b"],
    }


def make_trainer(*handlers: Any, weights: LossWeights | None = None) -> GeneratorTrainer:
    torch.manual_seed(0)
    generator = TumourAwareGenerator(2)
    optimizer = SGD(generator.parameters(), 1e-3)
    weights = weights or LossWeights(paired=10, paired_tumour=1, paired_local=10)
    return GeneratorTrainer("cpu", 1, [make_batch()], generator, optimizer, weights, train_handlers=handlers)


def test_the_step_has_the_terms_of_its_weights() -> None:
    trainer = make_trainer(Teaching())
    trainer.run()
    output = dict(trainer.state.output)
    assert set(output) == {"loss", LossTerm.PAIRED, LossTerm.PAIRED_TUMOUR, LossTerm.PAIRED_LOCAL}
    total = 10 * output[LossTerm.PAIRED] + output[LossTerm.PAIRED_TUMOUR] + 10 * output[LossTerm.PAIRED_LOCAL]
    assert output["loss"] == pytest.approx(total, rel=1e-5)
    assert trainer.translation is not None
    apart = (trainer.translation.image - make_batch()[BatchKey.TARGET_IMAGE]).abs().mean()
    assert output[LossTerm.PAIRED] == pytest.approx(apart.item(), rel=1e-5)


def test_terms_of_other_handlers_stay() -> None:
    trainer = make_trainer()

    def add(engine: GeneratorTrainer) -> None:
        assert engine.translation is not None
        engine.generator_terms[LossTerm.CYCLE] = engine.translation.image.mean()

    trainer.add_event_handler(TranslationEvents.GENERATOR_FORWARD_COMPLETED, add)
    Teaching().attach(trainer)
    trainer.run()
    assert {LossTerm.CYCLE, LossTerm.PAIRED} <= set(trainer.state.output)


def test_a_critics_training_can_be_taught_beside_its_own_terms_and_says_that_targets_are_missing() -> None:
    torch.manual_seed(0)
    generator, critics = TumourAwareGenerator(2), critic_pair((SIZE, SIZE), 2, 4)
    optimizers = SGD(generator.parameters(), 1e-3), SGD(critics[0].parameters(), 1e-3)
    trainer = TranslationTrainer(
        *("cpu", 1, [make_batch()], generator, *critics, *optimizers), critic_steps=1, train_handlers=[Teaching()]
    )
    with pytest.raises(RuntimeError, match="teaching needs batches with target images"):
        trainer.run()


def test_outside_a_step_it_is_refused() -> None:
    with pytest.raises(RuntimeError, match="inside the training step"):
        Teaching()(make_trainer())
