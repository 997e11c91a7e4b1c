"""Work on cases side by side, one processor each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

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
