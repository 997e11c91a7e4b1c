"""SIGTERM and SIGINT end a training between two iterations, with its state saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

import torch
from monai.data.utils import worker_init_fn

from utad_monai.runtime.parallel import rank, world_size
from utad_monai.runtime.signals import ENDING_SIGNALS


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


def start_loader_worker(worker_id: int) -> None:
    """Begin a worker process of a data loader (its `worker_init_fn`).

    Signals that are sent to the whole process group are left to the training process, which still needs its batches;
    MONAI's transforms are seeded anew, or every worker and epoch would draw the same numbers.
    """
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    worker_init_fn(worker_id)
