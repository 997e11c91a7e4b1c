"""Every kind of trouble that is provoked is told, and a sound training is told to be sound."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from ignite.engine import Engine
from torch import Tensor
from torch.optim import SGD, Optimizer

from utad_monai.engines import TranslationTrainer
from utad_monai.handlers import HealthMonitor
from utad_monai.handlers.health import CHECKS
from utad_monai.keys import AdversarialGame, BatchKey, LossTerm
from utad_monai.models.stages import HEALTH_FILE
from utad_monai.networks import TumourAwareGenerator, critic_pair

SOUND = {
    "critic_gap": 0.01,
    "gradient_penalty": 0.1,
    "fake_accuracy": 0.9,
    "real_accuracy": 0.95,
    "identity_copy": 0.1,
    "variety_of_targets": 0.9,
    "variety_of_inputs": 0.5,
}
TROUBLE = {
    "critics_run_away": [{"critic_gap": 1.5}, {"gradient_penalty": 20.0}],
    "critics_outrun": [{"critic_gap": -0.1}],
    "wrong_modality": [{"fake_accuracy": 0.25}],
    "copies_input": [{"identity_copy": 0.98}],
    "target_ignored": [{"variety_of_targets": 0.01}],
    "input_ignored": [{"variety_of_inputs": 0.01}],
}


def batch(place: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(place)
    return {
        BatchKey.IMAGE: torch.rand(2, 1, 32, 32, generator=draw) - 0.5,
        BatchKey.TUMOUR_MASK: torch.ones(2, 1, 32, 32),
        BatchKey.SOURCE_MODALITY: torch.tensor([0, 1]),
        BatchKey.TARGET_MODALITY: torch.tensor([2, 3]),
        BatchKey.CASE_ID: ["a", "b"],
    }


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., HealthMonitor]:
    """Give `train(change, epochs)`, which trains a tiny network with a monitor and returns the monitor."""

    def _train(
        change: Callable[[TranslationTrainer], object] = lambda _: None,
        epochs: int = 3,
        patience: int = 3,
        game: AdversarialGame = AdversarialGame.WASSERSTEIN,
    ) -> HealthMonitor:
        torch.manual_seed(0)
        generator, critics = TumourAwareGenerator(2), critic_pair((32, 32), 2, 4, game)
        monitor = HealthMonitor(tmp_path, Engine(lambda *_: None), patience=patience)
        optimisers: list[Optimizer] = [
            SGD(parameters, 1e-4)
            for parameters in (generator.parameters(), [w for critic in critics for w in critic.parameters()])
        ]
        loader = [batch(0), batch(1)]
        trainer = TranslationTrainer(
            "cpu",
            epochs,
            train_data_loader=loader,
            generator=generator,
            whole_critic=critics[0],
            tumour_critic=critics[1],
            generator_optimizer=optimisers[0],
            critic_optimizer=optimisers[1],
            critic_steps=1,
            train_handlers=[monitor],
        )
        change(trainer)
        trainer.run()
        return monitor

    return _train


def test_every_check_is_provoked_by_its_trouble_alone() -> None:
    assert {check.name for check in CHECKS} == set(TROUBLE)
    for check in CHECKS:
        assert not check.wrong(SOUND)
        for name, changes in TROUBLE.items():
            assert all(check.wrong(SOUND | change) == (check.name == name) for change in changes)


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_is_told_once_per_epoch_after_some_patience(
    train: Callable[..., HealthMonitor],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    name: str,
) -> None:
    measures = SOUND | TROUBLE[name][0]
    monkeypatch.setattr(HealthMonitor, "_balance", lambda *_: measures)
    monkeypatch.setattr("utad_monai.handlers.health._accuracies", lambda *_: {})
    monkeypatch.setattr(HealthMonitor, "_validation", lambda *_: {})
    with caplog.at_level(logging.WARNING, "utad_monai"):
        train(epochs=4)
    assert [record.message.split(": ")[0] for record in caplog.records] == ["epoch 3", "epoch 4"]
    assert all(name.replace("_", " ") in record.message for record in caplog.records)
    table = pandas.read_csv(tmp_path / HEALTH_FILE, keep_default_na=False)
    assert list(table["warnings"]) == ["", "", name, name]


def test_epochs_without_a_validation_neither_count_nor_forgive(
    train: Callable[..., HealthMonitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = iter([0.99, float("nan"), 0.99, float("nan"), 0.99, 0.1])
    rest = {"variety_of_targets": 1.0, "variety_of_inputs": 1.0}
    monkeypatch.setattr(HealthMonitor, "_validation", lambda *_: {"identity_copy": next(copies), **rest})
    rows = train(epochs=6).rows
    assert ["copies_input" in row["warnings"] for row in rows] == [False, False, False, False, True, False]


def test_sound_training_is_measured_and_not_warned_of(
    train: Callable[..., HealthMonitor], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "utad_monai"):
        rows = train().rows
    assert caplog.records == []
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(0 <= row[name] <= 1 for row in rows for name in ("fake_accuracy", "real_accuracy"))
    assert all(row["gradient_penalty"] > 0 for row in rows)


def test_critics_that_really_run_away_are_told(train: Callable[..., HealthMonitor]) -> None:
    def amplify(trainer: TranslationTrainer) -> None:
        for critic in (trainer.whole_critic, trainer.tumour_critic):
            with torch.no_grad():
                critic.realness.weight.mul_(100)
        trainer.critic_optimizer.param_groups[0]["lr"] = 0.0

    assert all("critics_run_away" in row["warnings"] for row in train(amplify, patience=1).rows)


def test_modalities_that_are_really_missed_are_told(train: Callable[..., HealthMonitor]) -> None:
    def know_only_the_sources(trainer: TranslationTrainer) -> None:
        # a critic that finds the source in everything: right for real images, wrong for fakes
        def judge(_: Any, __: Any, judged: Any) -> Any:
            logits = torch.zeros_like(judged.modality_logits)
            logits[torch.arange(len(logits)), torch.arange(len(logits)) % 2] = 5.0
            return judged._replace(modality_logits=logits + 0 * judged.modality_logits)

        trainer.whole_critic.register_forward_hook(judge)

    rows = train(know_only_the_sources, patience=1).rows
    assert [(row["real_accuracy"], row["fake_accuracy"]) for row in rows] == [(1.0, 0.0)] * 3
    assert all("wrong_modality" in row["warnings"] for row in rows)


def test_gap_is_that_of_the_losses(train: Callable[..., HealthMonitor]) -> None:
    def fix(trainer: TranslationTrainer) -> None:
        original = trainer._update

        def update(*arguments: Any) -> dict[str, float]:
            return original(*arguments) | {LossTerm.CRITIC_REAL: -6.0, LossTerm.CRITIC_FAKE: -2.0}

        trainer._update = update  # type: ignore[method-assign]

    # two critics, gap 8 of both; 4 patches of 32 x 32 pixels: 2 * 32 / 4 is the largest honest gap of one
    assert [row["critic_gap"] for row in train(fix).rows] == pytest.approx([4 / 16] * 3)


@pytest.mark.parametrize("gap", [1.0, 0.2, -0.6])
def test_gap_of_least_squares_is_how_much_more_real_real_images_are(
    train: Callable[..., HealthMonitor], gap: float
) -> None:
    def judge_by_modality(trainer: TranslationTrainer) -> None:
        # real images are of modalities 0 and 1, fakes of 2 and 3
        def judge(_: Any, __: Any, judged: Any) -> Any:
            realness = torch.tensor([gap, gap, 0.0, 0.0])[None, :, None, None] + 0 * judged.realness
            return judged._replace(realness=realness)

        trainer.whole_critic.register_forward_hook(judge)

    rows = train(judge_by_modality, patience=1, game=AdversarialGame.LEAST_SQUARES).rows
    assert [row["critic_gap"] for row in rows] == pytest.approx([gap] * 3)
    assert all(math.isnan(row["gradient_penalty"]) for row in rows)
    assert all(("critics_outrun" in row["warnings"]) == (gap < 0) for row in rows)
    assert not any("critics_run_away" in row["warnings"] for row in rows)


def test_validation_is_looked_at_only_when_it_ran(make_validator: Callable[..., Any]) -> None:
    validator = make_validator()
    validator.run(2)
    monitor, engine = HealthMonitor("unused", validator), Engine(lambda *_: None)
    engine.state.epoch = 2
    assert set(monitor._validation(engine)) == {"identity_copy", "variety_of_targets", "variety_of_inputs"}
    assert 0 < monitor._validation(engine)["variety_of_targets"] < 2
    engine.state.epoch = 3
    assert all(math.isnan(value) for value in monitor._validation(engine).values())


def test_the_state_is_all_that_an_epoch_left(train: Callable[..., HealthMonitor], tmp_path: Path) -> None:
    monitor = train(epochs=3)
    monitor._sums["gap"], monitor._failed["copies_input"] = 2.5, 2
    monitor._last.append(tuple(torch.rand(4, 1)))  # type: ignore[arg-type]
    other = HealthMonitor(tmp_path, monitor.validator)
    other.load_state_dict(monitor.state_dict())
    assert (other.rows, other._sums, other._failed) == (monitor.rows, monitor._sums, monitor._failed)
    assert torch.equal(torch.stack(other._last[0]), torch.stack(monitor._last[0]))
    assert other._last.maxlen == monitor._last.maxlen


def test_the_critic_judges_the_last_batches_once_an_epoch(train: Callable[..., HealthMonitor]) -> None:
    for game in AdversarialGame:
        passes: list[int] = []

        def watch(trainer: TranslationTrainer, passes: list[int] = passes) -> None:
            def count(_: Any, inputs: tuple[Tensor], __: Any) -> None:
                if not torch.is_grad_enabled():
                    passes.append(len(inputs[0]))

            trainer.whole_critic.register_forward_hook(count)

        train(watch, epochs=2, game=game)
        assert passes == [4, 4] * 2  # two batches of two, fakes and real images
