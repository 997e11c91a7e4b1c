"""Processes that work side by side, each with its share of the processor's cores."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any

import torch

from utad_monai.configuration import default_device

_PR_SET_PDEATHSIG = 1
"""Of Linux's sys/prctl.h."""


def default_workers() -> int:
    """Return how many trainings run side by side: one per processor core, or one alone on a GPU.

    Small networks use one core best: two trainings on one thread each are done in half the time of two trainings on
    two threads after each other.
    """
    return 1 if default_device().type == "cuda" else os.cpu_count() or 1


def worker_pool(
    workers: int,
    initialise: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
    threads: int | None = None,
) -> ProcessPoolExecutor:
    """Return a pool of fresh processes; together they use no more threads than there are cores.

    Args:
        workers: number of processes.
        initialise: called once in each process.
        arguments: of that call.
        threads: torch's threads in each process; by default its share of the cores.
    """
    threads = threads or max(1, (os.cpu_count() or 1) // workers)
    spawn = multiprocessing.get_context("spawn")  # a forked process would inherit torch's threads in an unknown state
    return ProcessPoolExecutor(workers, spawn, initializer=_begin, initargs=(threads, initialise, arguments))


def _begin(threads: int, initialise: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    if sys.platform == "linux":
        # at once: a thread needs a moment, in which a worker still writes where the next run has begun to clean
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    if initialise is not None:
        initialise(*arguments)


def _end_with_parent() -> None:
    """End this process when its parent was killed: the pool's workers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
