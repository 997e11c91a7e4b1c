"""Start a command, kill it at random moments, start it again until it comes to its end, and compare what it made."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from utad_monai.runtime.folder_lock import LOCK_FILE

_POLL_SECONDS = 0.01
_END_SECONDS = 30.0
"""Whatever was asked to end has this long."""
EXIT_CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGINT: 128 + signal.SIGINT}
"""What a command that ends as it should returns after each signal."""


@dataclass(frozen=True)
class Job:
    """A command that goes on where it was killed.

    Attributes:
        name: what it is called.
        command: gives the command line for an output folder.
        held: the folder, relative to the output, that the command locks before its work; signals come after that.
        compared: glob patterns of the files that must be equal in the end, hidden ones never.
        kept: glob patterns of files that are final as soon as they are there: equal after every kill.
    """

    name: str
    command: Callable[[Path], Sequence[str]]
    held: str = "."
    compared: Sequence[str] = ("**/*",)
    kept: Sequence[str] = ()

    def lock(self, output: Path) -> Path:
        """Return the lock file that shows, while it is there, that the command is at its work."""
        return output / self.held / LOCK_FILE


@dataclass
class Report:
    """What became of a job that was killed again and again.

    Attributes:
        kills: how often it was killed, by name of the signal.
        problems: what must not be, one line each.
        bytes_lost: bytes of the uninterrupted run's files that are missing or other in the end.
        seconds: how long it took.
    """

    kills: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    bytes_lost: int = 0
    seconds: float = 0.0


def digests(folder: Path, patterns: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder that fits a pattern, by relative name; hidden files do not count."""
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    visible = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in visible}


def run_whole(job: Job, output: Path) -> float:
    """Run a job without interruption; return the seconds from the start of its work to its end.

    Raises:
        RuntimeError: when it fails.
    """
    process = _start(job, output)
    begin = _wait_for_work(job, output, process)
    code = process.wait()
    if code:
        raise RuntimeError(f"{job.name} ended with {code} without a kill")
    return time.monotonic() - begin


def kill_until_done(
    job: Job, output: Path, reference: Path, signals: Sequence[signal.Signals], seconds: float, draw: random.Random
) -> Report:
    """Kill a job once with each signal, let it come to its end then, and compare with an uninterrupted run.

    Args:
        job: the job.
        output: a new folder for it.
        reference: the folder of the uninterrupted run.
        signals: one kill each, in this order; the job may come to its end before all are spent.
        seconds: the work of the uninterrupted run; each kill comes at a random moment of as long a time.
        draw: gives the moments.
    """
    report, begin = Report(), time.monotonic()
    for number in signals:
        process = _start(job, output)
        _wait_for_work(job, output, process)
        try:
            process.wait(draw.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            report.kills[number.name] = report.kills.get(number.name, 0) + 1
        code = process.wait(_END_SECONDS)
        if code == 0:
            break
        late = code == -number and not job.lock(output).exists()  # its work was done, and Python was ending
        if code != EXIT_CODES[number] and not late:
            report.problems.append(f"{number.name} ended it with {code}, not {EXIT_CODES[number]}")
        report.problems.extend(survivors(process.pid))
        report.problems.extend(_changed(output, reference, job.kept))
    try:
        run_whole(job, output)
    except RuntimeError as error:
        report.problems.append(str(error))
    _compare(job, output, reference, report)
    report.seconds = time.monotonic() - begin
    return report


def _start(job: Job, output: Path) -> subprocess.Popen[bytes]:
    job.lock(output).unlink(missing_ok=True)  # of the killed run before: it shows when this one is at work
    log = output.with_suffix(".log").open("ab")
    return subprocess.Popen(job.command(output), stdout=log, stderr=log, start_new_session=True)


def _wait_for_work(job: Job, output: Path, process: subprocess.Popen[bytes]) -> float:
    while process.poll() is None and not job.lock(output).exists():
        time.sleep(_POLL_SECONDS)
    return time.monotonic()


def survivors(group: int) -> list[str]:
    """Return a line when a process of a session is still there after a while."""
    deadline = time.monotonic() + _END_SECONDS
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return []
        time.sleep(_POLL_SECONDS)
    return [f"processes of {group} are still there"]


def _changed(output: Path, reference: Path, patterns: Sequence[str]) -> list[str]:
    whole = digests(reference, patterns)
    return [f"{name} is no whole file" for name, found in digests(output, patterns).items() if whole.get(name) != found]


def _compare(job: Job, output: Path, reference: Path, report: Report) -> None:
    wanted, found = digests(reference, job.compared), digests(output, job.compared)
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            report.problems.append(f"{name} is {'lost' if name not in found else 'another'} in the end")
            report.bytes_lost += (reference / name).stat().st_size if name in wanted else 0
    strays = [*output.rglob(".partial-*"), *output.rglob(LOCK_FILE)]
    report.problems.extend(f"{path.relative_to(output)} was left behind" for path in strays)
