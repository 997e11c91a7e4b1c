"""Work on cases side by side, one processor each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")


def map_in_threads(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Yield the result of each job, in order, as they become ready.

    Threads serve work that decompresses and resamples: it releases Python's lock, and threads start at once.

    Args:
        function: works on one job.
        jobs: what to work on.
        workers: jobs that are worked on at a time, at least 1.
    """
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # each worker computes on one processor; torch's own threads would only compete
    try:
        with ThreadPoolExecutor(max(1, min(workers, len(jobs)))) as pool:
            yield from pool.map(function, jobs)
    finally:
        torch.set_num_threads(torch_threads)
