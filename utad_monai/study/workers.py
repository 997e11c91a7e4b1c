"""Processes that work side by side, each with its share of the processor's cores."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import torch

from utad_monai.configuration import default_device


def default_workers() -> int:
    """Return how many trainings run side by side: one per processor core, or one alone on a GPU.

    Small networks use one core best: two trainings on one thread each are done in half the time of two trainings on
    two threads after each other.
    """
    return 1 if default_device().type == "cuda" else os.cpu_count() or 1


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Return a pool of fresh processes; together they use no more threads than there are cores."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    spawn = multiprocessing.get_context("spawn")  # a forked process would inherit torch's threads in an unknown state
    return ProcessPoolExecutor(workers, spawn, initializer=torch.set_num_threads, initargs=(threads,))
