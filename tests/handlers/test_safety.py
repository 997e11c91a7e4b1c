"""A loss that is not finite stops the training at once and names what it was looking at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.engines import SupervisedTrainer
from torch.optim import SGD, Adam

from utad_monai.engines import TranslationTrainer
from utad_monai.handlers import NonFiniteLossError, StopOnNonFinite, TimeBudget
from utad_monai.handlers import safety as time_budget
from utad_monai.handlers.safety import damaged_weights
from utad_monai.keys import BatchKey
from utad_monai.networks import TumourAwareGenerator, critic_pair


def make_batch(value: float, cases: list[str]) -> dict[str, Any]:
    image = torch.rand(2, 1, 32, 32) - 0.5
    image[0, 0, 8, 8] = value
    return {
        BatchKey.IMAGE: image,
        BatchKey.TUMOUR_MASK: torch.zeros(2, 1, 32, 32),
        BatchKey.SOURCE_MODALITY: torch.tensor([0, 1]),
        BatchKey.TARGET_MODALITY: torch.tensor([2, 3]),
        BatchKey.CASE_ID: cases,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_engine_stops_in_the_iteration_in_which_a_loss_is_not_finite(value: float) -> None:
    outputs = [1.0, value, 1.0]
    engine = Engine(lambda e, _: {"loss": outputs[e.state.iteration - 1], "cycle": 0.5})
    StopOnNonFinite().attach(engine)
    with pytest.raises(NonFiniteLossError, match="iteration 2: loss became NaN or infinite"):
        engine.run([0, 0, 0], max_epochs=1)
    assert engine.state.iteration == 2


def test_finite_losses_go_on() -> None:
    engine = Engine(lambda *_: {"loss": -1e30, "cycle": 0.0})
    StopOnNonFinite().attach(engine)
    assert engine.run([0, 0], max_epochs=1).iteration == 2


def test_error_names_every_damaged_term_and_the_cases_of_the_batch() -> None:
    torch.manual_seed(0)
    generator, critics = TumourAwareGenerator(2), critic_pair((32, 32), 2, 4)
    trainer = TranslationTrainer(
        "cpu",
        1,
        train_data_loader=[make_batch(0.0, ["sound", "sound"]), make_batch(float("nan"), ["case_b", "case_a"])],
        generator=generator,
        whole_critic=critics[0],
        tumour_critic=critics[1],
        generator_optimizer=SGD(generator.parameters(), 1e-3),
        critic_optimizer=SGD([weight for critic in critics for weight in critic.parameters()], 1e-3),
        critic_steps=1,
        train_handlers=[StopOnNonFinite()],
    )
    with pytest.raises(NonFiniteLossError) as stop:
        trainer.run()
    text = str(stop.value)
    assert "iteration 2" in text
    assert "case_a, case_b" in text
    assert "sound" not in text
    assert "critic/real" in text
    assert trainer.state.iteration == 2


def test_earlier_model_file_is_not_touched(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"good")
    engine = Engine(lambda *_: {"loss": float("nan")})
    StopOnNonFinite().attach(engine)
    with pytest.raises(NonFiniteLossError):
        engine.run([0], max_epochs=1)
    assert model.read_bytes() == b"good"


def make_trainer(batches: list[dict[str, Any]], **arguments: Any) -> TranslationTrainer:
    torch.manual_seed(0)
    generator, critics = TumourAwareGenerator(2), critic_pair((32, 32), 2, 4)
    weights = [weight for critic in critics for weight in critic.parameters()]
    optimisers = Adam(generator.parameters(), 1e-3), Adam(weights, 1e-3)
    handlers = [StopOnNonFinite()]
    return TranslationTrainer(
        "cpu",
        1,
        train_data_loader=batches,
        generator=generator,
        whole_critic=critics[0],
        tumour_critic=critics[1],
        generator_optimizer=optimisers[0],
        critic_optimizer=optimisers[1],
        critic_steps=1,
        train_handlers=handlers,
        **arguments,
    )


@pytest.mark.parametrize("network", ["generator", "whole_critic", "tumour_critic"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_gradient_that_is_not_finite_stops_its_own_iteration_though_losses_are_finite(
    network: str, value: float
) -> None:
    trainer = make_trainer([make_batch(0.0, ["sound"] * 2), make_batch(0.0, ["b", "a"]), make_batch(0.0, ["c"] * 2)])

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        return torch.full_like(gradient, value) if trainer.state.iteration == 2 else gradient

    name, weight = next(iter(getattr(trainer, network).named_parameters()))
    weight.register_hook(spoil)
    with pytest.raises(NonFiniteLossError, match=r"iteration 2: .* on cases a, b;") as stop:
        trainer.run()
    # a damaged critic damages the generator's losses in the same iteration, which are named first
    assert network != "generator" or f"generator.{name}" in str(stop.value)
    assert trainer.state.iteration == 2


def test_statistics_are_watched_too_and_large_weights_are_no_alarm() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    with torch.no_grad():
        network[0].weight.fill_(3e38)  # the sum of squares overflows
    assert damaged_weights({"network": network}) == []
    network[1].running_var[0] = torch.inf
    assert damaged_weights({"network": network}) == ["network.1.running_var"]
    assert damaged_weights({}) == []


@pytest.mark.parametrize(("place", "value"), [("image", float("nan")), ("weight", float("inf"))])
def test_supervised_training_stops_and_names_its_cases(place: str, value: float) -> None:
    network = torch.nn.Conv2d(1, 1, 1)
    batches = [{"image": torch.rand(2, 1, 4, 4), "label": torch.rand(2, 1, 4, 4), "case_id": ["b", "a"]}] * 2
    if place == "image":
        batches[1] = {**batches[1], "image": torch.full((2, 1, 4, 4), value)}
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=batches,
        network=network,
        optimizer=SGD(network.parameters(), 0.1),
        loss_function=torch.nn.MSELoss(),
        train_handlers=[StopOnNonFinite()],
    )
    if place == "weight":
        network.bias.register_hook(lambda g: g * value if trainer.state.iteration == 2 else g)
    damaged = "loss" if place == "image" else r"network\.bias"
    with pytest.raises(NonFiniteLossError, match=rf"iteration 2: {damaged} became NaN or infinite on cases a, b"):
        trainer.run()


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def epochs_trained(minutes: float, seconds_per_batch: float, max_epochs: int = 10) -> tuple[int, TimeBudget]:
    clock = Clock()
    budget = TimeBudget(minutes, clock)

    def step(_engine: Engine, _batch: int) -> None:
        clock.seconds += seconds_per_batch

    trainer = Engine(step)
    budget.attach(trainer)
    trainer.run([0, 1], max_epochs=max_epochs)
    return trainer.state.epoch, budget


@pytest.mark.parametrize(("seconds_per_batch", "epochs"), [(30, 2), (31, 2), (29, 3), (200, 1)])
def test_the_epoch_in_which_the_budget_ends_is_the_last(seconds_per_batch: float, epochs: int) -> None:
    trained, budget = epochs_trained(2, seconds_per_batch)
    assert trained == epochs
    assert budget.spent() >= 1


def test_without_a_budget_every_epoch_is_trained() -> None:
    trained, budget = epochs_trained(0, 1000)
    assert trained == 10
    assert budget.spent() == 0


def test_nothing_is_spent_before_the_run() -> None:
    assert TimeBudget(1, Clock()).spent() == 0


def test_a_negative_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        TimeBudget(-1)


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_budget, "world_size", lambda: 2)
    TimeBudget(0)
    with pytest.raises(ValueError, match="for one process"):
        TimeBudget(5)
