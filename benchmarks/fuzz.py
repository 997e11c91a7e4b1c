"""Throw damaged files at every reader of the library: it may accept or refuse, in a word of its own, and nothing else.

    python -m benchmarks.fuzz --mutations 100000 --seed 0

A finding is a foreign exception, a hang, an allocation over the limit, or something accepted that is not what its
header says. Findings are kept in a folder; the exit code is 1 when there is one.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from benchmarks.fuzz_targets import Target, targets

LIMIT_SECONDS = 5.0
"""One input may take this long."""
LIMIT_BYTES = 1 << 30
"""One input may make the process grow by this much."""
_HARD_LIMIT_SECONDS = 120.0


class HangError(BaseException):
    """An input took too long; no reader can take it for one of its own errors."""


@dataclass(frozen=True)
class Finding:
    """An input that a reader did not handle.

    Attributes:
        target: the reader.
        seed: seed of the whole, and the number of the mutation.
        file: the damaged file.
        error: what happened.
    """

    target: str
    seed: tuple[int, int]
    file: Path
    error: str


@dataclass
class Result:
    """What became of all mutations.

    Attributes:
        outcomes: how many of each target were accepted and refused.
        findings: what must not be.
        seconds: how long it took.
        slowest: seconds of the slowest input.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0

    def lines(self) -> Iterator[str]:
        """Yield a table: target, accepted, refused, findings."""
        yield f"{'target':<14}{'accepted':>10}{'refused':>10}{'findings':>10}"
        for name in sorted({name for name, _ in self.outcomes}):
            found = [self.outcomes[name, outcome] for outcome in ("accepted", "refused", "finding")]
            yield f"{name:<14}" + "".join(f"{count:>10}" for count in found)
        total = sum(self.outcomes.values())
        rate = total / self.seconds if self.seconds else 0.0
        yield f"{total} mutations in {self.seconds:.0f} s ({rate:.0f} a second), slowest {self.slowest:.2f} s"


def fuzz(chosen: Sequence[Target], mutations: int, seed: int, keep: Path, progress: bool = False) -> Result:
    """Try mutations on readers in turn, each as often as its weight says.

    Args:
        chosen: the readers.
        mutations: how many in all.
        seed: gives the same mutations again; mutation n depends on it and n alone.
        keep: folder for inputs that make a finding.
        progress: whether to show a progress bar.
    """
    result, begin = Result(), time.monotonic()
    weights = [target.weight for target in chosen]
    for number in tqdm(range(mutations), "Fuzzing", unit="file", disable=not progress):
        draw = random.Random(f"{seed}-{number}")
        (target,) = draw.choices(chosen, weights)
        path = target.damage(draw)
        started = time.monotonic()
        outcome, error = _try(target, path)
        result.slowest = max(result.slowest, time.monotonic() - started)
        result.outcomes[target.name, outcome] += 1
        if error:
            result.findings.append(Finding(target.name, (seed, number), _kept(path, keep, number), error))
    result.seconds = time.monotonic() - begin
    return result


def _try(target: Target, path: Path) -> tuple[str, str]:
    """Return what became of one input, and the error when it is a finding."""
    try:
        with _watched():
            target.read(path)
    except target.refusals as error:
        return ("refused", "") if str(error).strip() else ("finding", "an error without a word")
    except (Exception, HangError):
        return "finding", traceback.format_exc(limit=-6)
    return "accepted", ""


@contextmanager
def _watched() -> Iterator[None]:
    """Raise when the block takes too long; end the process with a traceback when even that is not heard."""
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    faulthandler.dump_traceback_later(_HARD_LIMIT_SECONDS, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


def _kept(path: Path, keep: Path, number: int) -> Path:
    keep.mkdir(parents=True, exist_ok=True)
    copy = keep / f"{number}-{path.name}"
    copy.write_bytes(path.read_bytes())
    return copy


@contextmanager
def limits() -> Iterator[None]:
    """Let no allocation grow this process by more than the limit, and no input hang it."""

    def give_up(_: int, __: FrameType | None) -> None:
        raise HangError(f"over {LIMIT_SECONDS} s")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory = resource.getrlimit(resource.RLIMIT_AS)
    alarm = signal.signal(signal.SIGALRM, give_up)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + LIMIT_BYTES, memory[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, memory)
        signal.signal(signal.SIGALRM, alarm)


def main() -> int:
    """Run the fuzzer from the command line; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_findings"), help="folder for inputs of findings")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = [one for one in targets(Path(folder)) if not options.target or one.name in options.target]
        with limits():
            result = fuzz(chosen, options.mutations, options.seed, options.keep, progress=True)
    for finding in result.findings:
        print(json.dumps({"target": finding.target, "seed": finding.seed, "file": str(finding.file)}))
        print(finding.error)
    for line in result.lines():
        print(line)
    return bool(result.findings)


if __name__ == "__main__":
    sys.exit(main())
