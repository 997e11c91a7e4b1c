"""Signals are noted while a training runs, and only then."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
from monai.transforms import RandFlip
from torch.utils.data import DataLoader, Dataset

from utad_monai.handlers.resume import exact_resume as signal_watch
from utad_monai.handlers.resume.exact_resume import SignalWatch, start_loader_worker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_once_and_then_given_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with SignalWatch() as watched:
        assert watched.agreed() == (0, False)
        os.kill(os.getpid(), number)
        assert watched.agreed(wish=True) == (number, True)
        assert signal.getsignal(number) == before
    assert signal.getsignal(number) == before


def test_signals_are_given_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), SignalWatch():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_threads_do_without() -> None:
    noted: list[tuple[int, bool]] = []

    def watch() -> None:
        with SignalWatch() as watched:
            noted.append(watched.agreed())

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert noted == [(0, False)]


def test_processes_agree_on_the_greatest_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    def another_had_a_signal(votes: Any, _: object) -> None:
        votes[0] = max(int(votes[0]), 15)

    monkeypatch.setattr(signal_watch, "world_size", lambda: 2)
    monkeypatch.setattr(signal_watch, "rank", lambda: 1)
    monkeypatch.setattr(signal_watch.torch.distributed, "get_backend", lambda: "gloo")
    monkeypatch.setattr(signal_watch.torch.distributed, "all_reduce", another_had_a_signal)
    # the wish of a process that is not the first does not count
    assert SignalWatch().agreed(wish=True) == (15, False)


class Flipping(Dataset[tuple[bool, bool]]):
    """Tells what a worker does: which signals it ignores, and what its random transform draws."""

    def __init__(self) -> None:
        self.flip = RandFlip(0.5).set_random_state(0)

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[bool, float]:
        ignored = all(signal.getsignal(n) is signal.SIG_IGN for n in (signal.SIGTERM, signal.SIGINT))
        return ignored, float(self.flip.R.random())


def test_loader_workers_ignore_signals_and_draw_different_numbers() -> None:
    loader = DataLoader(Flipping(), 1, num_workers=2, worker_init_fn=start_loader_worker)
    first, second = [[(bool(i), float(r)) for i, r in loader] for _ in range(2)]
    assert all(ignored for ignored, _ in first)
    assert len({drawn for _, drawn in first + second}) == 16
