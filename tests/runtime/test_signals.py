"""SIGTERM and SIGINT end work in order, with the exit code that shells expect."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from utad_monai.runtime.signals import Interruption, interruptible

_WITH_WORKERS = """
import sys, time
from utad_monai.runtime.signals import interruptible, leave_to_parent
from utad_monai.runtime.workers import worker_pool
if __name__ == "__main__":
    try:
        with interruptible(), worker_pool(2, leave_to_parent) as pool:
            jobs = [pool.submit(time.sleep, 0), pool.submit(time.sleep, 600)]
            jobs[0].result()
            print(*pool._processes, flush=True)
            jobs[1].result()
    finally:
        print("in order", flush=True)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_becomes_an_end_with_its_code(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interruption) as ended, interruptible():
        signal.raise_signal(number)
    assert ended.value.code == code
    assert ended.value.signal is number
    assert signal.getsignal(number) is before


def test_other_threads_change_nothing() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_workers_end_at_once_and_what_is_to_be_put_in_order_is(number: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _WITH_WORKERS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout is not None
    workers = [int(word) for word in process.stdout.readline().split()]
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert out.strip() == "in order"
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
