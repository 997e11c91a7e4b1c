"""Teaching is a handler: it adds its terms inside the step, and says what it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from torch.optim import SGD

from utad_monai.data import Preprocessing
from utad_monai.engines import GeneratorTrainer, TeachingValidator, TranslationEvents, TranslationTrainer
from utad_monai.engines.validators import KEY_METRIC
from utad_monai.handlers import SaveTaughtTranslator, Teaching
from utad_monai.keys import BatchKey, LossTerm, Modality
from utad_monai.losses import LossWeights
from utad_monai.models import load_translator
from utad_monai.networks import TumourAwareGenerator, critic_pair
from utad_monai.phantom import TeachingBatches, TeachingBrains, reference_histograms

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
    return GeneratorTrainer(
        "cpu",
        1,
        train_data_loader=[make_batch()],
        generator=generator,
        generator_optimizer=optimizer,
        loss_weights=weights,
        train_handlers=handlers,
    )


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
        "cpu",
        1,
        train_data_loader=[make_batch()],
        generator=generator,
        whole_critic=critics[0],
        tumour_critic=critics[1],
        generator_optimizer=optimizers[0],
        critic_optimizer=optimizers[1],
        critic_steps=1,
        train_handlers=[Teaching()],
    )
    with pytest.raises(RuntimeError, match="teaching needs batches with target images"):
        trainer.run()


def test_outside_a_step_it_is_refused() -> None:
    with pytest.raises(RuntimeError, match="inside the training step"):
        Teaching()(make_trainer())


@dataclass
class Saving:
    """A saver, and an engine that says what was measured."""

    saver: SaveTaughtTranslator
    engine: Engine

    def measure(self, value: float, epoch: int) -> None:
        self.engine.state.metrics, self.engine.state.epoch = {KEY_METRIC: value}, epoch
        self.saver(self.engine)

    def saved(self) -> tuple[float, int]:
        training = load_translator(self.saver.path).training
        return training["validation_value"], training["epoch"]


@pytest.fixture
def generator() -> TumourAwareGenerator:
    torch.manual_seed(0)
    return TumourAwareGenerator(
        2, "global_only", second_input="whole_image", sources="several", conditional_norms=True, gain_head=True
    )


@pytest.fixture
def preprocessing() -> Preprocessing:
    return Preprocessing(frame_size_mm=(240.0, 200.0), image_size=(192, 160))


@pytest.fixture
def saving(
    tmp_path: Path, generator: TumourAwareGenerator, preprocessing: Preprocessing, teaching_brains: TeachingBrains
) -> Saving:
    made = {"stage": "starter"}
    saver = SaveTaughtTranslator(
        tmp_path / "model.safetensors", generator, preprocessing=preprocessing, brains=teaching_brains, training=made
    )
    return Saving(saver, Engine(lambda *_: None))


def test_only_what_is_better_is_saved(saving: Saving) -> None:
    for epoch, value in enumerate([0.5, 0.4, 0.7, 0.7, float("nan")], start=1):
        saving.measure(value, epoch)
    assert saving.saved() == (0.7, 3)


def test_the_first_model_is_saved_whatever_it_is_worth(saving: Saving) -> None:
    saving.measure(float("nan"), 1)
    assert saving.saved()[1] == 1
    saving.measure(-3.0, 2)
    assert saving.saved() == (-3.0, 2)


def test_the_model_of_an_earlier_version_is_replaced(saving: Saving) -> None:
    saving.saver.path.with_name("model.pt").write_bytes(b"earlier")
    saving.measure(0.5, 1)
    assert not saving.saver.path.with_name("model.pt").exists()
    assert saving.saved() == (0.5, 1)


def test_the_file_has_everything_that_its_use_needs(
    saving: Saving, generator: TumourAwareGenerator, preprocessing: Preprocessing, teaching_brains: TeachingBrains
) -> None:
    saving.measure(1.25, 4)
    translator = load_translator(saving.saver.path)
    for name, weight in generator.state_dict().items():
        assert torch.equal(translator.generator.state_dict()[name], weight)
    assert translator.generator.description() == generator.description()
    assert translator.preprocessing == preprocessing
    expected = reference_histograms(teaching_brains)
    assert set(translator.reference_histograms) == set(Modality)
    for modality, shares in translator.reference_histograms.items():
        assert list(shares) == pytest.approx(expected[modality])
    assert translator.training == {
        "stage": "starter",
        "epoch": 4,
        "validation_metric": KEY_METRIC,
        "validation_value": 1.25,
    }


def test_the_weights_are_those_of_the_moment(saving: Saving, generator: TumourAwareGenerator) -> None:
    saving.measure(0.5, 1)
    with torch.no_grad():
        next(generator.parameters()).add_(1)
    saving.measure(0.4, 2)
    saved = load_translator(saving.saver.path).generator
    assert not torch.equal(next(saved.parameters()), next(generator.parameters()))
    saving.measure(0.6, 3)
    saved = load_translator(saving.saver.path).generator
    assert torch.equal(next(saved.parameters()), next(generator.parameters()))


def test_every_validation_is_looked_at(
    saving: Saving, generator: TumourAwareGenerator, teaching_brains: TeachingBrains
) -> None:
    batches = TeachingBatches(teaching_brains, sizes=[(32, 32)], batch_size=2, length=2)
    loader = torch.utils.data.DataLoader(batches, batch_size=None)
    validator = TeachingValidator("cpu", loader, generator=generator, val_handlers=[saving.saver])
    validator.run(3)
    assert saving.saved() == (pytest.approx(validator.state.metrics[KEY_METRIC]), 3)
