"""A training that was ended at any moment and begun again is the training that was never ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer, Trainer
from monai.handlers import LrScheduleHandler
from monai.transforms import Compose, RandFlipd, RandScaleIntensityd
from torch import nn
from torch.optim import Adam
from torch.utils.data import DataLoader

from tests.random_flip import random_flip
from utad_monai.data import CohortError, CompleteSlices, EpochSampler, PreparedCohort, UnpairedSlices
from utad_monai.engines import TranslationTrainer, linear_decay
from utad_monai.handlers import (
    DistillationHandler,
    ExactResume,
    GeneratorAverage,
    HealthMonitor,
    TimeBudget,
    TrainingHistory,
)
from utad_monai.handlers.resume.state import ResumeError
from utad_monai.keys import BatchKey, SecondInput
from utad_monai.models.weights_file import weights_sha256
from utad_monai.networks import TumourAwareGenerator, critic_pair

EPOCHS, BATCHES, BATCH_SIZE = 3, 5, 2
LAST = EPOCHS * BATCHES


class Killed(BaseException):
    """What a kill does to a training: nothing is done any more."""


@dataclass
class Setting:
    """What a training is made of."""

    workers: int = 0
    learning_rate: float = 1e-3
    epochs: int = EPOCHS
    seed: int = 7
    average: float = 0.9
    policy: str = "auto"
    minutes: float = 0.0
    teacher_seed: int | None = None


@dataclass
class Training:
    """A training with everything around it, as a bundle makes it."""

    cohort: PreparedCohort
    folder: Path
    setting: Setting = field(default_factory=Setting)

    def __post_init__(self) -> None:
        setting = self.setting
        torch.manual_seed(0)
        self.generator = TumourAwareGenerator(2)
        self.critics = critic_pair((32, 32), 2, 4)
        dataset = UnpairedSlices(
            self.cohort.store,
            self.cohort.cases("train"),
            tumour_fraction=0.5,
            min_brain_fraction=0.02,
            transform=random_flip(),
            seed=setting.seed,
        )
        sampler = EpochSampler(dataset, BATCHES * BATCH_SIZE)
        loader = DataLoader(dataset, BATCH_SIZE, sampler=sampler, num_workers=setting.workers)
        generator_optimizer = Adam(self.generator.parameters(), setting.learning_rate)
        critic_optimizer = Adam([w for critic in self.critics for w in critic.parameters()], setting.learning_rate)
        schedule = linear_decay(generator_optimizer, EPOCHS, 2, 1e-5)
        self.average = GeneratorAverage(self.generator, setting.average)
        self.history = TrainingHistory(self.folder / "history.csv")
        budget = TimeBudget()
        health = HealthMonitor(self.folder, Engine(lambda *_: None))
        handlers: list[Any] = [self.average, LrScheduleHandler(schedule, print_lr=False), budget, self.history, health]
        self.parts: dict[str, Any] = {
            "generator": self.generator,
            "whole_critic": self.critics[0],
            "tumour_critic": self.critics[1],
            "generator_optimizer": generator_optimizer,
            "critic_optimizer": critic_optimizer,
            "schedule": schedule,
            "average": self.average,
            "history": self.history,
            "health": health,
            "time_budget": budget,
        }
        if setting.teacher_seed is not None:
            torch.manual_seed(setting.teacher_seed)
            distillation = DistillationHandler(TumourAwareGenerator(2))
            handlers.insert(0, distillation)
            self.parts["distillation"] = distillation
        self.trainer = TranslationTrainer(
            "cpu",
            setting.epochs,
            train_data_loader=loader,
            generator=self.generator,
            whole_critic=self.critics[0],
            tumour_critic=self.critics[1],
            generator_optimizer=generator_optimizer,
            critic_optimizer=critic_optimizer,
            critic_steps=3,
            train_handlers=handlers,
        )
        self.resume = ExactResume(self.folder / "resume", self.parts, policy=setting.policy, minutes=setting.minutes)
        torch.manual_seed(99)

    def kill_after(self, iteration: int) -> None:
        """End without a word as soon as an iteration is complete."""
        _at_iteration(self.trainer, iteration, _kill)

    def run(self) -> list[str]:
        """Train; return hashes of all weights, and the course."""
        self.resume.run(self.trainer)
        networks: list[nn.Module] = [self.generator, *self.critics, self.average.network]
        tables = [(self.folder / name).read_text(encoding="utf-8") for name in ("history.csv", "health.csv")]
        return [*map(weights_sha256, networks), *tables]


def _kill(_: Engine) -> None:
    raise Killed


def _at_iteration(trainer: Trainer, iteration: int, act: Callable[[Engine], None]) -> None:
    # registered at the start, after the handler that saves
    def register(engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=iteration), act)

    trainer.add_event_handler(Events.STARTED, register)


@pytest.fixture(autouse=True)
def nobody_else_catches_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.fixture(scope="module")
def uninterrupted(prepared_tiny_cohort: PreparedCohort, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return Training(prepared_tiny_cohort, tmp_path_factory.mktemp("uninterrupted")).run()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("moments", [[1], [4], [5], [6], [14], [2, 3, 11]])
def test_a_killed_training_ends_with_the_same_bits(
    prepared_tiny_cohort: PreparedCohort, tmp_path: Path, uninterrupted: list[str], moments: list[int], workers: int
) -> None:
    for moment in moments:
        killed = Training(prepared_tiny_cohort, tmp_path, Setting(workers))
        killed.kill_after(moment)
        with pytest.raises(Killed):
            killed.run()
    resumed = Training(prepared_tiny_cohort, tmp_path, Setting(workers))
    begun_at: list[int] = []
    resumed.trainer.add_event_handler(Events.ITERATION_STARTED(once=1), lambda e: begun_at.append(e.state.iteration))
    resumed.trainer.add_event_handler(Events.EPOCH_STARTED, lambda e: begun_at.append(e.state.iteration))
    assert resumed.run() == uninterrupted
    # the last state is that of the iteration before the kill: the killed one was not saved, or it was an epoch's end
    assert begun_at[0] in (moments[-1] - 1, moments[-1])


def test_a_training_without_resume_differs_when_it_is_cut(
    prepared_tiny_cohort: PreparedCohort, tmp_path: Path, uninterrupted: list[str]
) -> None:
    assert Training(prepared_tiny_cohort, tmp_path, Setting(seed=8)).run() != uninterrupted


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("moment", [3, 10])
def test_a_signal_saves_and_ends_and_nothing_is_lost(
    prepared_tiny_cohort: PreparedCohort, tmp_path: Path, uninterrupted: list[str], number: int, code: int, moment: int
) -> None:
    training = Training(prepared_tiny_cohort, tmp_path, Setting(minutes=60))
    training.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=moment), lambda _: os.kill(os.getpid(), number))
    with pytest.raises(SystemExit) as ended:
        training.run()
    assert ended.value.code == code
    assert training.trainer.state.iteration == moment
    assert [path.name for path in (tmp_path / "resume").glob("*.pt")] == [f"iteration_{moment:010d}.pt"]
    assert Training(prepared_tiny_cohort, tmp_path, Setting(minutes=60)).run() == uninterrupted


@pytest.fixture
def listening() -> Iterator[None]:
    """Have the handler of SIGINT that Python has in a terminal; in the background, jobs begin with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_a_second_signal_ends_at_once(prepared_tiny_cohort: PreparedCohort, tmp_path: Path) -> None:
    training = Training(prepared_tiny_cohort, tmp_path, Setting(minutes=60))

    def interrupt_twice(_: Engine) -> None:
        # not by `os.kill`, and not before the first is noted: signals that come at once are one
        signal.raise_signal(signal.SIGINT)
        deadline = time.monotonic() + 10
        while not training.resume.signals.signal_number and time.monotonic() < deadline:
            time.sleep(0)
        signal.raise_signal(signal.SIGINT)

    training.trainer.add_event_handler(Events.ITERATION_STARTED(once=2), interrupt_twice)
    with pytest.raises(KeyboardInterrupt):
        training.run()


def test_a_finished_training_is_not_trained_again(
    prepared_tiny_cohort: PreparedCohort, tmp_path: Path, uninterrupted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    Training(prepared_tiny_cohort, tmp_path).run()
    again = Training(prepared_tiny_cohort, tmp_path)
    again.trainer.add_event_handler(Events.ITERATION_STARTED, _kill)
    with caplog.at_level("INFO"):
        assert again.run() == uninterrupted
    assert "this training is finished; --resume never" in caplog.text


def test_never_begins_anew(prepared_tiny_cohort: PreparedCohort, tmp_path: Path, uninterrupted: list[str]) -> None:
    Training(prepared_tiny_cohort, tmp_path, Setting(learning_rate=0.1)).run()
    anew = Training(prepared_tiny_cohort, tmp_path, Setting(policy="never"))
    assert anew.run() == uninterrupted
    assert anew.trainer.state.iteration == LAST


def test_a_finished_training_can_be_made_longer(
    prepared_tiny_cohort: PreparedCohort, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Training(prepared_tiny_cohort, tmp_path).run()
    longer = Training(prepared_tiny_cohort, tmp_path, Setting(epochs=EPOCHS + 1))
    longer.run()
    assert longer.trainer.state.iteration == LAST + BATCHES
    assert len(longer.history.rows) == EPOCHS + 1
    assert "planned for 3 epochs, now for 4" in caplog.text


@pytest.mark.parametrize(
    ("setting", "difference"),
    [
        (Setting(learning_rate=2e-3), "generator_optimizer learning rate was 0.001, is 0.002"),
        (Setting(seed=8), "seed was 7, is 8"),
    ],
)
def test_the_state_of_another_training_is_refused(
    prepared_tiny_cohort: PreparedCohort, tmp_path: Path, setting: Setting, difference: str
) -> None:
    Training(prepared_tiny_cohort, tmp_path).run()
    with pytest.raises(ResumeError, match=difference) as refused:
        Training(prepared_tiny_cohort, tmp_path, setting).run()
    assert refused.value.path == tmp_path / "resume"
    assert "--resume never" in str(refused.value)


def test_another_teacher_is_refused(prepared_tiny_cohort: PreparedCohort, tmp_path: Path) -> None:
    Training(prepared_tiny_cohort, tmp_path, Setting(teacher_seed=1)).run()
    Training(prepared_tiny_cohort, tmp_path, Setting(teacher_seed=1)).run()
    with pytest.raises(ResumeError, match=r"distillation does not fit .the teacher is another one"):
        Training(prepared_tiny_cohort, tmp_path, Setting(teacher_seed=2)).run()


def test_a_damaged_state_is_passed_over(
    prepared_tiny_cohort: PreparedCohort, tmp_path: Path, uninterrupted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    killed = Training(prepared_tiny_cohort, tmp_path)
    killed.kill_after(9)
    with pytest.raises(Killed):
        killed.run()
    newest = max((tmp_path / "resume").glob("*.pt"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    assert Training(prepared_tiny_cohort, tmp_path).run() == uninterrupted
    assert f"{newest}: checkpoint is damaged" in caplog.text


def test_states_are_saved_when_the_time_has_come(prepared_tiny_cohort: PreparedCohort, tmp_path: Path) -> None:
    training = Training(prepared_tiny_cohort, tmp_path)
    seconds = iter(range(0, 1000, 20))
    training.resume = ExactResume(tmp_path / "resume", training.parts, minutes=1, clock=lambda: next(seconds))
    saved: list[int] = []
    training.trainer.add_event_handler(
        Events.ITERATION_STARTED,
        lambda _: saved.append(max((int(p.stem[-10:]) for p in (tmp_path / "resume").glob("*.pt")), default=0)),
    )
    training.run()
    # a look at the clock after each iteration and one more after a save: every third iteration
    assert saved[:8] == [0, 0, 0, 3, 3, 3, 6, 6]


def test_negative_minutes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        ExactResume(tmp_path, {}, minutes=-1)


class SegmentationTraining:
    """A supervised training with random transforms and a shuffling loader: saved between epochs."""

    def __init__(self, cohort: PreparedCohort, folder: Path, workers: int = 0, kill_at: int = 0) -> None:
        torch.manual_seed(3)
        self.network = nn.Conv2d(4, 3, 3, padding=1)
        flip = RandFlipd([BatchKey.IMAGE, BatchKey.LABEL], 0.5, 1)
        transform = Compose([flip, RandScaleIntensityd(BatchKey.IMAGE, 0.1)]).set_random_state(5)
        self.dataset = CompleteSlices(cohort.store, cohort.complete_cases("train"), transform=transform)
        self.dataset.slices = self.dataset.slices[:10]
        loader = DataLoader(self.dataset, 2, shuffle=True, num_workers=workers)
        optimizer = Adam(self.network.parameters(), 1e-2)
        self.trainer = SupervisedTrainer("cpu", 3, loader, self.network, optimizer, nn.BCEWithLogitsLoss())
        parts = {"network": self.network, "optimizer": optimizer, "dataset": self.dataset}
        self.resume = ExactResume(folder / "resume", parts, minutes=0)
        if kill_at:
            _at_iteration(self.trainer, kill_at, _kill)

    def run(self) -> str:
        self.resume.run(self.trainer)
        return weights_sha256(self.network)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("moment", [2, 6, 12])
def test_a_segmentation_training_goes_on_between_epochs(
    prepared_tiny_cohort: PreparedCohort, tmp_path: Path, moment: int, workers: int
) -> None:
    whole = SegmentationTraining(prepared_tiny_cohort, tmp_path / "whole", workers).run()
    with pytest.raises(Killed):
        SegmentationTraining(prepared_tiny_cohort, tmp_path / "cut", workers, moment).run()
    assert SegmentationTraining(prepared_tiny_cohort, tmp_path / "cut", workers).run() == whole


def test_a_state_from_before_the_history_was_kept_is_taken_on(
    prepared_tiny_cohort: PreparedCohort, tmp_path: Path
) -> None:
    whole = SegmentationTraining(prepared_tiny_cohort, tmp_path / "whole").run()
    with pytest.raises(Killed):
        SegmentationTraining(prepared_tiny_cohort, tmp_path / "cut", kill_at=12).run()
    later = SegmentationTraining(prepared_tiny_cohort, tmp_path / "cut")
    later.resume.stateful["history"] = TrainingHistory(tmp_path / "cut" / "history.csv")
    assert later.run() == whole


def test_a_teacher_and_a_student_input_are_different_trainings(
    prepared_tiny_cohort: PreparedCohort, tmp_path: Path
) -> None:
    Training(prepared_tiny_cohort, tmp_path).run()
    other = Training(prepared_tiny_cohort, tmp_path)
    other.parts["generator"] = TumourAwareGenerator(3, second_input=SecondInput.WHOLE_IMAGE)
    other.resume = ExactResume(tmp_path / "resume", other.parts)
    with pytest.raises(ResumeError, match=r"generator \(layers\) was"):
        other.resume.run(other.trainer)


def test_a_training_without_a_batch_is_an_error(prepared_tiny_cohort: PreparedCohort, tmp_path: Path) -> None:
    training = Training(prepared_tiny_cohort, tmp_path)
    training.trainer.state.epoch_length = 0
    with pytest.raises(CohortError, match="there is no batch to train on"):
        training.resume.run(training.trainer)
