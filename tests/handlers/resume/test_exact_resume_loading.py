"""What happens to processes that load batches ends the training at once, in one line, and leaves none of them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from utad_monai.errors import expected_cause
from utad_monai.handlers.resume.exact_resume import LoadingError

ROOT = Path(__file__).resolve().parents[3]
TRAINING = """
import os, signal, sys, time
import torch
from ignite.engine import Events
from monai.engines import Trainer
from torch.utils.data import DataLoader, Dataset
from utad_monai.errors import InvalidImageError
from utad_monai.handlers import ExactResume
from utad_monai.runtime.console import print_expected_errors_plainly

class Unsendable:
    def __reduce__(self):
        raise OSError(28, "No space left on device")

class Slices(Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, index):
        if index == 5:
            {what}
        return torch.zeros(3)

class Loop(Trainer):
    def __init__(self):
        loader = DataLoader(Slices(), 1, num_workers=2, collate_fn=lambda batch: batch[0])
        super().__init__(device="cpu", max_epochs=1, data_loader=loader)
    def _iteration(self, engine, batch):
        {step}
        return {{"loss": 0.0}}

print_expected_errors_plainly()
ExactResume(sys.argv[1], {{}}).run(Loop())
"""


def train(folder: Path, what: str, step: str = "pass") -> subprocess.CompletedProcess[str]:
    """Run a training in a process of its own, whose data set does something in a worker; no process stays."""
    code = textwrap.dedent(TRAINING).format(what=what, step=step)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment,
        start_new_session=True,
    )
    out, err = process.communicate(timeout=300)
    deadline = time.monotonic() + 10
    while (left := members(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def members(session: int) -> list[int]:
    """Return the processes of a session."""
    found = []
    for one in psutil.pids():
        try:
            if os.getsid(one) == session and psutil.Process(one).status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except (ProcessLookupError, psutil.Error):
            continue
    return found


@pytest.mark.command_line
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("raise ValueError('something new')", "something new; mend it, or load in the training process"),
        ("raise InvalidImageError('/data/a.nii.gz', 'is truncated')", "/data/a.nii.gz: is truncated"),
        ("raise RuntimeError('unable to allocate shared memory(shm): No space left on device (28)')", "--shm-size"),
        ("os.kill(os.getpid(), signal.SIGBUS)", "--shm-size"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "--num_workers 0"),
        ("os._exit(3)", "exited unexpectedly"),
        ("return Unsendable()", "--shm-size"),
    ],
    ids=["error", "image", "no shared memory", "bus error", "killed", "exit", "cannot be sent"],
)
def test_a_failure_of_a_worker_ends_the_training_in_one_line(tmp_path: Path, what: str, said: str) -> None:
    ended = train(tmp_path, what)
    assert ended.returncode == 1, ended.stderr
    # torch's own line about a bus error ends in a null character
    errors = [line for line in ended.stderr.replace("\0", "").splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, ended.stderr
    assert "a process that loads batches failed: " in errors[0]
    assert said in errors[0]
    # torch tells of a dead worker by an exception in whatever runs: within a `__del__` Python prints that it ignored it
    assert "Traceback" not in ended.stderr.partition("Exception ignored in")[0]


@pytest.mark.command_line
@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("raise InvalidImageError('/x', 'is bad')", 1),
        ("raise KeyError('a bug')", 1),
        ("engine.state.iteration == 1 and os.kill(0, signal.SIGTERM)", 143),
    ],
)
def test_an_end_of_the_training_itself_waits_for_no_worker(tmp_path: Path, step: str, code: int) -> None:
    assert train(tmp_path, "pass", step).returncode == code


def test_the_line_is_the_workers_own() -> None:
    text = "Caught ValueError in DataLoader worker process 0.\nTraceback ...\nutad_monai.x.SomeError: case A: is bad\n"
    error = LoadingError.of(RuntimeError(text))
    assert str(error).startswith("a process that loads batches failed: case A: is bad; mend it")
    assert expected_cause(error) is error
