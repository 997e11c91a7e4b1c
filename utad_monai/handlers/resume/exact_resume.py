"""Exact resume: a training that was ended at any moment goes on as if nothing had been."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.queues import Queue
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, Self

import torch
from ignite.engine import Engine, Events
from monai.data.utils import worker_init_fn
from monai.engines import Trainer

from utad_monai.data.quality.finding import SPLIT_FILE, CohortError
from utad_monai.errors import UserError
from utad_monai.handlers.resume.state import (
    ResumeError,
    differences,
    newest_sound_state,
    remove_states,
    save_state,
    training_identity,
    training_loader,
)
from utad_monai.keys import ResumePolicy
from utad_monai.runtime.parallel import from_every_process, rank, world_size
from utad_monai.runtime.random_state import random_state, restore_random_state
from utad_monai.runtime.signals import ENDING_SIGNALS, Interruption
from utad_monai.runtime.workers import kill_loader_workers

_logger = logging.getLogger(__name__)


class SignalWatch:
    """Note that a signal asked for the end, instead of ending at once; a second one ends at once.

    Only the main thread of a process can catch signals; elsewhere nothing is noted.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Begin to note signals."""
        self.signal_number = 0
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in ENDING_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        """Give signals back to whoever had them before."""
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal_number = number
        self._give_back()

    def agreed(self, wish: bool = False) -> tuple[int, bool]:
        """Return the noted signal (0 for none) and the first process's wish, the same on every process.

        Args:
            wish: any decision that the first process takes for all.
        """
        if world_size() == 1:
            return self.signal_number, wish
        votes = torch.tensor([self.signal_number, int(wish and rank() == 0)])
        if torch.distributed.get_backend() == "nccl":
            votes = votes.cuda()
        torch.distributed.all_reduce(votes, torch.distributed.ReduceOp.MAX)
        return int(votes[0]), bool(votes[1])


_OF_A_WORKER = "DataLoader worker"
"""What torch's errors about a loader's processes have in their text."""


_BROKEN = (EOFError, ConnectionError)
"""What reading from a process raises that ended meanwhile."""


def _is_said_once(record: logging.LogRecord) -> bool:
    """Tell whether a line of ignite's log is more than the text of an error, with its traceback, that is raised."""
    return "terminating due to exception" not in record.getMessage()


class LoadingError(UserError, RuntimeError):
    """A process that loads batches failed, or was killed."""

    @classmethod
    def of(cls, error: BaseException) -> LoadingError:
        """Say in one line what happened: the last line of what torch passes on is the worker's own error."""
        text = "it exited unexpectedly" if isinstance(error, _BROKEN) else str(error)
        line = next(line for line in reversed(text.splitlines()) if line.strip()).strip()
        said = re.sub(r"^[\w.]*\.?[A-Z]\w*(?:Error|Exception): ", "", line)
        short = any(word in text for word in _SHORT_OF_MEMORY)
        remedy = f"{_MORE_MEMORY if short else 'mend it'}, or load in the training process: --num_workers 0"
        return cls("", f"a process that loads batches failed: {said}", remedy)


_SHORT_OF_MEMORY = ("shared memory", "Bus error", "shm", "No space left", "exited unexpectedly")
_MORE_MEMORY = "give it more shared memory (docker run --shm-size 2g)"


def _end_worker(*_: object) -> None:
    """End a worker that cannot hand over a batch; queues would drop it, and the training would wait for ever."""
    os._exit(1)


def start_loader_worker(worker_id: int) -> None:
    """Begin a worker process of a data loader (its `worker_init_fn`).

    Signals that are sent to the whole process group are left to the training process, which still needs its batches
    and kills its workers at the end (`kill_loader_workers`); MONAI's transforms are seeded anew, or every worker and
    epoch would draw the same numbers.
    """
    Queue._on_queue_feeder_error = staticmethod(_end_worker)  # type: ignore[attr-defined]
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    worker_init_fn(worker_id)


_ADDED_LATER = ("history",)
"""Parts that states of earlier versions may lack: they record, and change nothing of the training."""
_UNFITTING = (AttributeError, KeyError, RuntimeError, TypeError, ValueError)
"""What taking on a state of the wrong form raises."""


class Stateful(Protocol):
    """Anything that changes in a training: networks, optimisers, schedules, handlers, data sets."""

    def state_dict(self) -> Any:
        """Return the state as tensors and plain data."""

    def load_state_dict(self, state_dict: Any) -> Any:
        """Take on a state."""


class ExactResume:
    """Run a training, save its state from time to time, and begin where the newest sound state ends.

    On the CPU the weights at the end are bit for bit those of a training that was never ended. SIGTERM and SIGINT save
    and end with the exit codes 143 and 130; during a validation they wait for its end. A state is all of `stateful`,
    the trainer's counters and every random generator.

    A training is saved within its epochs when its sampler can go to a position (`utad_monai.data.EpochSampler`), and
    between epochs otherwise.

    Args:
        folder: receives the states.
        stateful: everything that changes in the training, by name.
        policy: `auto` goes on where there is a state, `never` removes it and begins anew.
        minutes: time between two saved states; the last two are kept, and one when the training is done.
        clock: gives seconds.

    Raises:
        ValueError: when the minutes are negative.
    """

    def __init__(
        self,
        folder: str | Path,
        stateful: Mapping[str, Stateful],
        *,
        policy: ResumePolicy | str = ResumePolicy.AUTO,
        minutes: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if minutes < 0:
            raise ValueError(f"resume_minutes must not be negative, got {minutes}")
        self.folder = Path(folder)
        self.stateful = dict(stateful)
        self.policy = ResumePolicy(policy)
        self.seconds = 60 * minutes
        self.signals = SignalWatch()
        self._clock = clock
        self._saved_at = 0.0
        self._identity: dict[str, Any] = {}
        self._random_within_epoch: Mapping[str, Any] | None = None
        self._finished = False

    def run(self, trainer: Trainer) -> None:
        """Train, from the newest state on if there is one.

        Raises:
            CohortError: when there is not a single batch to train on.
            LoadingError: when a process that loads batches failed or was killed.
            ResumeError: when there are states, but of another training or all damaged.
            Interruption: when a signal ended the training; its state is saved, or, where a worker had only begun, an
                earlier one is the newest.
        """
        self.attach(trainer)
        _refuse_empty(trainer)
        trainer.logger.addFilter(_is_said_once)
        try:
            with self.signals:
                trainer.run()
        except BaseException as error:
            kill_loader_workers()
            if _OF_A_WORKER in str(error) or (training_loader(trainer).num_workers and isinstance(error, _BROKEN)):
                if self.signals.signal_number:  # a worker that had only begun died of the same signal
                    raise Interruption(self.signals.signal_number) from error
                raise LoadingError.of(error) from error
            raise
        finally:
            trainer.logger.removeFilter(_is_said_once)

    def attach(self, engine: Trainer) -> None:
        """Register on the trainer, as the last handler: it saves what the others did."""
        training_loader(engine).worker_init_fn = start_loader_worker
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._go_on_within_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._after_iteration)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save_when_due)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def _begin(self, engine: Trainer) -> None:
        self._saved_at = self._clock()
        self._identity = training_identity(engine, self.stateful)
        state = None
        if self.policy is ResumePolicy.AUTO:
            state = newest_sound_state(self.folder)
        elif rank() == 0:
            remove_states(self.folder)
        if state is not None:
            self._refuse_another_training(state)
            self._take_on(engine, state)

    def _refuse_another_training(self, state: Mapping[str, Any]) -> None:
        found = differences(state["identity"], self._identity)
        if found:
            raise ResumeError(self.folder, f"holds the state of another training ({'; '.join(found)})")

    def _take_on(self, engine: Trainer, state: Mapping[str, Any]) -> None:
        for name, part in self.stateful.items():
            if name in _ADDED_LATER and name not in state["parts"]:
                continue
            try:
                part.load_state_dict(state["parts"][name])
            except _UNFITTING as error:
                raise ResumeError(self.folder, f"the state of {name} does not fit ({error})") from error
        progress, length = state["engine"], engine.state.epoch_length
        engine.state.iteration, engine.state.epoch = progress["iteration"], progress["iteration"] // length
        for name, value in progress["attributes"].items():
            setattr(engine.state, name, value)
        _go_to(engine, engine.state.epoch, progress["iteration"] % length)
        restore_random_state(state["random"][rank()])
        if progress["iteration"] % length:
            # the loader's start draws random numbers that were drawn before this state: it is restored after that
            self._random_within_epoch = state["random"][rank()]
        self._tell(engine, progress)

    def _tell(self, engine: Trainer, progress: Mapping[str, Any]) -> None:
        epochs = engine.state.max_epochs
        if progress["finished"] and progress["max_epochs"] == epochs:
            self._finished = True
            engine.terminate()
            _logger.info("%s: this training is finished; --resume never would begin anew", self.folder)
            return
        _logger.info("resuming after iteration %d, epoch %d", engine.state.iteration, engine.state.epoch)
        if progress["max_epochs"] != epochs:
            change = f"planned for {progress['max_epochs']} epochs, now for {epochs}"
            _logger.warning("%s: %s: the result is not that of one uninterrupted training", self.folder, change)

    def _go_on_within_epoch(self, _: Engine) -> None:
        if self._random_within_epoch is not None:
            restore_random_state(self._random_within_epoch)
            self._random_within_epoch = None

    def _after_iteration(self, engine: Trainer) -> None:
        """Save within an epoch where that is possible; its last iteration is left to the epoch's end."""
        if engine.state.iteration % engine.state.epoch_length and _can_go_to(engine):
            self._save_when_due(engine)

    def _save_when_due(self, engine: Trainer) -> None:
        signal_number, due = self.signals.agreed(self._clock() - self._saved_at >= self.seconds)
        if due or signal_number:
            self._save(engine, finished=False)
        if signal_number:
            end = f"iteration {engine.state.iteration}: ended by signal {signal_number}, saved in {self.folder}"
            _logger.warning("%s; the same command resumes it", end)
            raise Interruption(signal_number)

    def _finish(self, engine: Trainer) -> None:
        if not self._finished:
            self._save(engine, finished=True)

    def _save(self, engine: Trainer, finished: bool) -> None:
        randoms = from_every_process(random_state())
        if rank() == 0:
            content = {
                "identity": self._identity,
                "engine": {
                    "iteration": engine.state.iteration,
                    "max_epochs": engine.state.max_epochs,
                    "attributes": {name: getattr(engine.state, name) for name in engine.state_dict_user_keys},
                    "finished": finished,
                },
                "random": randoms,
                "parts": {name: part.state_dict() for name, part in self.stateful.items()},
            }
            save_state(self.folder, engine.state.iteration, content, finished)
        self._saved_at = self._clock()


def _can_go_to(engine: Trainer) -> bool:
    return hasattr(training_loader(engine).sampler, "go_to")


def _go_to(engine: Trainer, epoch: int, batches: int) -> None:
    """Let the loader begin with this batch of this epoch."""
    if _can_go_to(engine):
        loader = training_loader(engine)
        loader.sampler.go_to(epoch, batches * (loader.batch_size or 1))  # type: ignore[attr-defined]


def _refuse_empty(trainer: Trainer) -> None:
    """Stop a training that has not a single batch: ignite would skip it without an error."""
    if trainer.state.epoch_length == 0:
        loader = training_loader(trainer)
        reason = f"there is no batch to train on: fewer slices than the {loader.batch_size} of a batch"
        raise CohortError.of(SPLIT_FILE, reason, "add patients, or give a smaller batch")
