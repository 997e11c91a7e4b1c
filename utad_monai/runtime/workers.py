"""Work side by side: threads, processes, and the memory they keep."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

import torch


def kill_loader_workers() -> None:
    """Kill the processes of data loaders: they ignore every other signal, and Python would wait for them at its end.

    They are the daemons among the children; pools of processes are none.
    """
    workers = [child for child in multiprocessing.active_children() if child.daemon]
    with _unheard(signal.SIGCHLD):  # torch would raise that a worker was killed
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.join()


@contextmanager
def _unheard(number: signal.Signals) -> Iterator[None]:
    """Leave a signal to the system while the block runs; outside the main thread nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


Job = TypeVar("Job")
Result = TypeVar("Result")


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch compute on one thread while the block runs: sums of more threads differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def map_in_threads(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Yield the result of each job, in order, as they become ready.

    Threads serve work that decompresses and resamples: it releases Python's lock, and threads start at once.

    Args:
        function: works on one job.
        jobs: what to work on.
        workers: jobs that are worked on at a time, at least 1.
    """
    # each worker computes on one processor; torch's own threads would only compete
    with one_torch_thread(), ThreadPoolExecutor(max(1, min(workers, len(jobs)))) as pool:
        yield from pool.map(function, jobs)


_PR_SET_PDEATHSIG = 1
"""Of Linux's sys/prctl.h."""


def default_device() -> torch.device:
    """Return the first CUDA device, or the CPU where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of glibc's malloc.h."""
_LARGEST_TENSOR_BYTES = 2**30


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, and return whether it does: only glibc can be told so.

    As it comes, glibc maps every large tensor anew, and the system clears its pages each time: a third of a training
    step at the published size (docs/performance.md). What is kept is the peak, which a process needs anyway.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_TENSOR_BYTES)) and bool(mallopt(_TRIM_THRESHOLD, -1))
