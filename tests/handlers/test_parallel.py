"""Two processes with half of a batch each train the weights that one process trains with all of it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.handlers import TerminateOnNan
from monai.engines import SupervisedTrainer
from torch import Tensor, distributed, multiprocessing, nn
from torch.optim import SGD, Adam, Optimizer
from torch.utils.data import DataLoader, default_collate

from utad_monai import handlers
from utad_monai.data import EpochSampler, PreparedCohort, ShuffledSampler, UnpairedSlices
from utad_monai.engines import TranslationTrainer
from utad_monai.handlers import StopOnNonFinite, handlers_of_this_rank
from utad_monai.handlers import parallel as first_process
from utad_monai.networks import TumourAwareGenerator, critic_pair
from utad_monai.runtime.parallel import world_size


def test_the_first_process_keeps_every_handler() -> None:
    given = [StopOnNonFinite(), TerminateOnNan()]
    assert handlers_of_this_rank(given) == given


def test_other_processes_keep_only_what_changes_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_process, "rank", lambda: 1)
    stop = StopOnNonFinite()
    assert handlers_of_this_rank([stop, TerminateOnNan()]) == [stop]


def test_every_handler_that_adds_a_term_or_changes_a_weight_runs_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_process, "rank", lambda: 1)
    classes = [one for one in vars(handlers).values() if inspect.isclass(one)]
    changing = [
        one for one in classes if re.search(r"engine\.(generator_terms|loss_weights)\b.*=", inspect.getsource(one))
    ]
    assert {"DistillationHandler", "LateCritics", "PairedSupervision", "StarterAnchor"} <= {
        c.__name__ for c in changing
    }
    for one in changing:
        assert len(handlers_of_this_rank([one.__new__(one)])) == 1, one.__name__


WHOLE_BATCH = 4
TOLERANCE = {"SGD": 1e-10, "Adam": 1e-8}
"""Largest difference of any weight after four iterations in float64. In float32 a rounding error turns a LeakyReLU here
and there, and with it a gradient."""


def optimizer_of(kind: str, *networks: nn.Module) -> Optimizer:
    """Return an optimiser; the published `eps` of Adam, 1e-8, would make whole steps of gradients that are 0 but for
    rounding, and the test would measure rounding."""
    weights = [weight for network in networks for weight in network.parameters()]
    return SGD(weights, lr=1e-3) if kind == "SGD" else Adam(weights, lr=1e-3, eps=1e-6)


def weights_of(*networks: nn.Module) -> dict[str, Tensor]:
    return {
        f"{number}.{name}": value.detach().double()
        for number, network in enumerate(networks)
        for name, value in network.state_dict().items()
    }


def in_float64(samples: list[dict[str, Any]]) -> dict[str, Any]:
    batch = default_collate(samples)
    return {key: v.double() if torch.is_tensor(v) and v.is_floating_point() else v for key, v in batch.items()}


def train(cohort: PreparedCohort, kind: str, seed: int = 0) -> dict[str, Tensor]:
    """Return the weights after four iterations, two of which train the generator."""
    torch.manual_seed(seed)
    networks = [network.double() for network in (TumourAwareGenerator(2), *critic_pair((32, 32), 2, 4))]
    dataset = UnpairedSlices(cohort.store, cohort.cases("train"), seed=3)
    sampler = EpochSampler(dataset, 4 * WHOLE_BATCH)
    loader = DataLoader(dataset, batch_size=WHOLE_BATCH // world_size(), sampler=sampler, collate_fn=in_float64)
    optimizers = optimizer_of(kind, networks[0]), optimizer_of(kind, *networks[1:])
    handlers = handlers_of_this_rank([StopOnNonFinite()])
    TranslationTrainer(
        "cpu",
        1,
        train_data_loader=loader,
        generator=networks[0],
        whole_critic=networks[1],
        tumour_critic=networks[2],
        generator_optimizer=optimizers[0],
        critic_optimizer=optimizers[1],
        critic_steps=2,
        train_handlers=handlers,
    ).run()
    return weights_of(*networks)


def train_supervised() -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 1))
    draw = torch.Generator().manual_seed(1)
    samples = [{"image": torch.rand(1, 4, 4, generator=draw), "label": torch.rand(1, generator=draw)} for _ in range(8)]
    loader = DataLoader(samples, WHOLE_BATCH // world_size(), sampler=ShuffledSampler(samples))  # type: ignore[arg-type]
    optimizer = SGD(network.parameters(), lr=0.1)
    handlers = handlers_of_this_rank([])
    SupervisedTrainer("cpu", 2, loader, network, optimizer, nn.MSELoss(), train_handlers=handlers).run()
    return weights_of(network)


def _one_of_two(number: int, rendezvous: str, cohort: PreparedCohort, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=number, world_size=2)
    for kind in TOLERANCE:
        # the second process draws other initial weights, which it must not keep
        torch.save(train(cohort, kind, seed=number), f"{folder}/{kind}{number}.pt")
    torch.save(train_supervised(), f"{folder}/supervised{number}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two(prepared_tiny_cohort: PreparedCohort, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give what two processes trained, by name and number."""
    folder = tmp_path_factory.mktemp("two")
    arguments = (str(folder / "rendezvous"), prepared_tiny_cohort, str(folder))
    multiprocessing.start_processes(_one_of_two, arguments, nprocs=2, start_method="fork")
    return lambda name, number: torch.load(Path(folder) / f"{name}{number}.pt", weights_only=True)


@pytest.mark.parametrize("kind", TOLERANCE)
def test_two_processes_train_the_weights_of_one(two: Any, prepared_tiny_cohort: PreparedCohort, kind: str) -> None:
    ours, alone = two(kind, 0), train(prepared_tiny_cohort, kind)
    for name, value in alone.items():
        assert float((ours[name] - value).abs().max()) <= TOLERANCE[kind], name


@pytest.mark.parametrize("name", [*TOLERANCE, "supervised"])
def test_weights_and_statistics_are_the_same_bits_on_both(two: Any, name: str) -> None:
    first, second = two(name, 0), two(name, 1)
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_two_processes_train_the_supervised_weights_of_one(two: Any) -> None:
    ours, alone = two("supervised", 0), train_supervised()
    for name, value in alone.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-6)


def test_other_trainers_are_refused() -> None:
    from ignite.engine import Engine

    from utad_monai.handlers import TrainAsOne

    with pytest.raises(TypeError, match="no trainer that several processes can share"):
        TrainAsOne()(Engine(lambda *_: None))
