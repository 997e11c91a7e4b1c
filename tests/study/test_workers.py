"""Workers share the processor's cores."""

from __future__ import annotations

import os

import pytest
import torch

from utad_monai.study import default_workers, workers
from utad_monai.study.workers import worker_pool


def test_one_worker_per_processor_or_one_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.os, "cpu_count", lambda: 6)
    monkeypatch.setattr(workers, "default_device", lambda: torch.device("cpu"))
    assert default_workers() == 6
    monkeypatch.setattr(workers, "default_device", lambda: torch.device("cuda"))
    assert default_workers() == 1


def test_threads_of_all_workers_are_no_more_than_the_cores() -> None:
    with worker_pool(2) as pool:
        assert pool.submit(torch.get_num_threads).result() == max(1, (os.cpu_count() or 1) // 2)
