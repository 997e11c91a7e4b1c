"""Jobs run side by side, in order, and leave the process as it was."""

from __future__ import annotations

import threading

import pytest
import torch

from utad_monai.threads import map_in_threads


def test_results_come_in_the_order_of_the_jobs() -> None:
    assert list(map_in_threads(lambda job: job * 2, list(range(20)), 4)) == list(range(0, 40, 2))


def test_no_jobs_give_no_results() -> None:
    assert list(map_in_threads(lambda job: job, [], 4)) == []


def test_as_many_jobs_as_workers_run_at_once() -> None:
    together = threading.Barrier(3, timeout=20)
    assert sorted(map_in_threads(lambda _: together.wait(), [0, 0, 0], 3)) == [0, 1, 2]


def test_torch_has_one_thread_a_worker_and_its_own_number_afterwards() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(map_in_threads(lambda _: torch.get_num_threads(), [0], 1)) == [1]
        assert torch.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError):
            list(map_in_threads(lambda job: 1 / job, [0], 1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
