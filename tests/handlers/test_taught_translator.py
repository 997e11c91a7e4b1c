"""The best taught generator is a file that can be used: weights, preprocessing, histograms, and how it was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

from utad_monai.checkpoints import load_translator
from utad_monai.data import Preprocessing
from utad_monai.engines import TeachingValidator
from utad_monai.engines.teaching_validator import KEY_METRIC
from utad_monai.handlers import SaveTaughtTranslator
from utad_monai.keys import Modality
from utad_monai.networks import TumourAwareGenerator
from utad_monai.phantom import TeachingBatches, TeachingBrains, reference_histograms


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
        2, "global_only", "whole_image", sources="several", conditional_norms=True, gain_head=True
    )


@pytest.fixture
def preprocessing() -> Preprocessing:
    return Preprocessing(frame_size_mm=(240.0, 200.0), image_size=(192, 160))


@pytest.fixture
def saving(
    tmp_path: Path, generator: TumourAwareGenerator, preprocessing: Preprocessing, teaching_brains: TeachingBrains
) -> Saving:
    made = {"stage": "starter"}
    saver = SaveTaughtTranslator(tmp_path / "model.pt", generator, preprocessing, teaching_brains, made)
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
    validator = TeachingValidator("cpu", loader, generator, [saving.saver])
    validator.run(3)
    assert saving.saved() == (pytest.approx(validator.state.metrics[KEY_METRIC]), 3)
