"""Workers share the processor's cores, and end with the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from utad_monai import processes
from utad_monai.processes import default_workers, worker_pool

_ORPHANS = """
import itertools, os, sys, time
from utad_monai.processes import worker_pool
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
