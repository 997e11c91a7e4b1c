"""Jobs run side by side, in order, and leave the process as it was."""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from torch.utils.data import DataLoader

from utad_monai.runtime import workers as allocator
from utad_monai.runtime import workers as processes
from utad_monai.runtime.workers import (
    default_workers,
    keep_freed_memory,
    kill_loader_workers,
    map_in_threads,
    worker_pool,
)


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


_ORPHANS = """
import itertools, os, sys, time
from utad_monai.runtime.workers import worker_pool
if __name__ == "__main__":
    pool = worker_pool(1)
    worker = pool.submit(os.getpid).result()
    if sys.argv[1:] == ["busy"]:
        pool.submit(sum, itertools.repeat(0, 10**11))  # minutes in which no other thread has its turn
        time.sleep(1)
    print(worker, flush=True)
    time.sleep(600)
"""


_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")


def test_one_worker_per_processor_or_one_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.os, "cpu_count", lambda: 6)
    monkeypatch.setattr(processes, "default_device", lambda: torch.device("cpu"))
    assert default_workers() == 6
    monkeypatch.setattr(processes, "default_device", lambda: torch.device("cuda"))
    assert default_workers() == 1


def test_threads_of_all_workers_are_no_more_than_the_cores() -> None:
    with worker_pool(2) as pool:
        assert pool.submit(torch.get_num_threads).result() == max(1, (os.cpu_count() or 1) // 2)


def test_threads_can_be_chosen() -> None:
    with worker_pool(1, threads=1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 1


def test_every_worker_is_initialised(tmp_path: Path) -> None:
    with worker_pool(1, os.chdir, (str(tmp_path),)) as pool:
        assert Path(pool.submit(os.getcwd).result()) == tmp_path.resolve()


@pytest.mark.command_line
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system knows no SIGKILL")
@pytest.mark.parametrize("work", ["", pytest.param("busy", marks=_LINUX)])
def test_workers_do_not_outlive_a_killed_parent(work: str, tmp_path: Path) -> None:
    script = tmp_path / "orphans.py"
    script.write_text(_ORPHANS, encoding="utf-8")
    arguments = [sys.executable, str(script), *filter(None, [work])]
    parent = subprocess.Popen(arguments, stdout=subprocess.PIPE, encoding="utf-8")
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(200):
        if not _runs(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker is still there")


def _runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


_WORK = """
import resource, sys
import torch
from utad_monai.runtime.workers import keep_freed_memory
if sys.argv[1:] == ["keep"]:
    assert keep_freed_memory()
torch.set_num_threads(1)
network = torch.nn.Sequential(*(torch.nn.Conv2d(8, 8, 3, padding=1) for _ in range(3)))
image = torch.ones(4, 8, 256, 256)
faults = []
for _ in range(12):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    network(image).sum().backward()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sum(faults[4:]))
"""


def pages_mapped_anew(*arguments: str) -> int:
    command = [sys.executable, "-c", _WORK, *arguments]
    return int(subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_freed_memory_is_not_mapped_anew() -> None:
    assert pages_mapped_anew("keep") < pages_mapped_anew() / 10


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()


def test_loader_workers_are_killed_and_torch_does_not_complain() -> None:
    loader = DataLoader(list(range(100)), num_workers=2, worker_init_fn=_deaf)
    batches = iter(loader)
    next(batches)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    kill_loader_workers()
    assert multiprocessing.active_children() == []
    assert [worker.exitcode for worker in workers] == [-signal.SIGKILL] * 2
    assert callable(signal.getsignal(signal.SIGCHLD))


def _deaf(_: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
