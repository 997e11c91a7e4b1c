"""What SIGTERM and SIGINT do: work ends in order, as if it had failed, with the exit code that shells expect."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What a scheduler and a terminal send to end a process."""


class Interruption(SystemExit):
    """The end that a signal asks for; its code is 128 and the signal's number, as shells have it.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(128 + number)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first SIGTERM or SIGINT into an `Interruption` and end the worker processes; a second one kills.

    Outside the main thread, which alone may do so, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}

    def interrupt(number: int, _: FrameType | None) -> None:
        for one in ENDING_SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise Interruption(number)

    for number in ENDING_SIGNALS:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_to_parent() -> None:
    """Let a worker ignore SIGINT, which a terminal sends to all processes: its parent ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
