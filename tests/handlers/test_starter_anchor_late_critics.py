"""Critics that come late rest, then learn for an epoch, and then are heard."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Events
from torch.optim import SGD

from utad_monai.engines import TranslationTrainer
from utad_monai.handlers import LateCritics
from utad_monai.keys import BatchKey, LossTerm
from utad_monai.losses import LossWeights
from utad_monai.networks import TumourAwareGenerator, critic_pair


def make_trainer(epochs: int) -> TranslationTrainer:
    torch.manual_seed(0)
    image = torch.full((2, 1, 32, 32), -1.0)
    image[:, :, 4:28, 6:26] = torch.rand(2, 1, 24, 20) * 1.6 - 0.8
    batch: dict[str, Any] = {
        BatchKey.IMAGE: image,
        BatchKey.TUMOUR_MASK: (image > 0.5).float(),
        BatchKey.SOURCE_MODALITY: torch.tensor([0, 2]),
        BatchKey.TARGET_MODALITY: torch.tensor([3, 1]),
        BatchKey.CASE_ID: ["a", "b"],
    }
    generator, critics = TumourAwareGenerator(2), critic_pair((32, 32), 2, 4)
    optimizers = [SGD(generator.parameters(), 1e-3), SGD([w for c in critics for w in c.parameters()], 1e-3)]
    weights = LossWeights(adversarial=0.5, modality=0.25)
    trainer = TranslationTrainer(
        "cpu",
        3,
        train_data_loader=[batch],
        generator=generator,
        whole_critic=critics[0],
        tumour_critic=critics[1],
        generator_optimizer=optimizers[0],
        critic_optimizer=optimizers[1],
        loss_weights=weights,
        critic_steps=1,
    )
    LateCritics(epochs).attach(trainer)
    return trainer


@pytest.mark.parametrize(("epochs", "heard"), [(0, [0.5, 0.5, 0.5]), (1, [0.0, 0.5, 0.5]), (2, [0.0, 0.0, 0.5])])
def test_critics_are_heard_after_so_many_epochs(epochs: int, heard: list[float]) -> None:
    trainer = make_trainer(epochs)
    seen: list[float] = []

    def keep(engine: TranslationTrainer) -> None:
        seen.append(engine.loss_weights.adversarial)
        assert engine.loss_weights.modality == engine.loss_weights.adversarial / 2

    trainer.add_event_handler(Events.ITERATION_COMPLETED, keep)
    trainer.run()
    assert seen == heard


def test_critics_rest_until_the_last_of_these_epochs_and_then_learn() -> None:
    trainer = make_trainer(2)
    learned: list[bool] = []
    before = [weight.detach().clone() for weight in trainer.whole_critic.parameters()]

    def keep(engine: TranslationTrainer) -> None:
        now = list(engine.whole_critic.parameters())
        learned.append(any(not torch.equal(a, b) for a, b in zip(before, now, strict=True)))
        before[:] = [weight.detach().clone() for weight in now]
        assert (str(LossTerm.CRITIC_REAL) in engine.state.output) is learned[-1]

    trainer.add_event_handler(Events.ITERATION_COMPLETED, keep)
    trainer.run()
    assert learned == [False, True, True]


def test_when_critics_are_heard_is_part_of_what_a_training_is() -> None:
    assert make_trainer(2).identity()["critics_from_epoch"] == 2
    assert "critics_from_epoch" not in make_trainer(0).identity()
