"""Fair timing on shared machines: rivals take turns, and only their ratio counts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

MATRIX = 2048
"""Size of the square float32 matrix product that stands for the machine's limit."""
_FIGURES = re.compile(r"^\{$.*\Z", re.DOTALL | re.MULTILINE)
_PRODUCTS = ("matrix product by BLAS", "matrix product by oneDNN")


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return median, least and greatest, as a figure is written."""
    return median(values), min(values), max(values)


def figures_in(printed: str) -> dict[str, Any]:
    """Return the JSON at the end of what a benchmark printed; libraries may have logged something before.

    Raises:
        ValueError: when there is none.
    """
    if found := _FIGURES.search(printed):
        return json.loads(found[0])  # type: ignore[no-any-return]
    raise ValueError("no figures were printed")


@dataclass(frozen=True)
class Timing:
    """Seconds of every run of one rival, in order.

    Attributes:
        seconds: one entry per round.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the seconds."""
        return median(self.seconds)

    def ratio_to(self, other: Timing) -> tuple[float, float, float]:
        """Return median, least and greatest of `other / self`, round by round: how many times faster this one is."""
        ratios = [theirs / ours for ours, theirs in zip(self.seconds, other.seconds, strict=True)]
        return spread(ratios)


def take_turns(
    rivals: Mapping[str, Callable[[], object]], rounds: int = 5, warm_up: bool = True, of_processor: bool = False
) -> dict[str, Timing]:
    """Time rivals in turn, round by round.

    Args:
        rivals: what to time, by name.
        rounds: how often each has its turn.
        warm_up: whether each runs once before.
        of_processor: whether a `RivalProcess` says itself how long its processor worked; other programs, which a clock
            counts in, hardly change that of one thread.
    """
    if warm_up:
        for run in rivals.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(rounds):
        # every other round backwards: what comes first is not always the same
        for name in list(rivals)[:: 1 if number % 2 == 0 else -1]:
            begin = time.perf_counter()
            answer: Any = rivals[name]()
            seconds[name].append(answer if of_processor else time.perf_counter() - begin)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


class RivalProcess:
    """A rival in a process of its own, which works once whenever it is called: it has its memory and caches alone.

    Args:
        arguments: of python; the program serves (`serve`) what is timed.
    """

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")

    def __call__(self) -> float:
        """Let it work, and wait until it has; return its processor's seconds.

        Raises:
            RuntimeError: when it has ended.
        """
        self._input.write("\n")
        self._input.flush()
        if seconds := self._output.readline():
            return float(seconds)
        raise RuntimeError(f"the rival {self._process.args!r} ended with {self._process.wait()}")

    def peak_megabytes(self) -> float:
        """End it; return the most memory that it ever held, in MB."""
        peak, _ = self._process.communicate()
        return float(peak)

    @property
    def _input(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout


def serve(run: Callable[[], object]) -> None:
    """Work once for every line of the input, as the process of a `RivalProcess`; at its end write the peak memory."""
    for _ in sys.stdin:
        begin = time.process_time()
        run()
        print(time.process_time() - begin, flush=True)
    print(peak_megabytes())


def matrix_products() -> dict[str, Callable[[], object]]:
    """Return the product of two large matrices as rivals; it is `2 * MATRIX ** 3` floating-point operations.

    By BLAS, and as a convolution of 1x1 by oneDNN: which of them is near the machine's limit depends on the processor.
    """
    left, right = torch.rand(MATRIX, MATRIX), torch.rand(MATRIX, MATRIX)
    layout = torch.channels_last
    weight = left.view(MATRIX, MATRIX, 1, 1).contiguous(memory_format=layout)
    image = right.view(1, MATRIX, 32, MATRIX // 32).contiguous(memory_format=layout)
    convolution = torch.nn.functional.conv2d
    return dict(zip(_PRODUCTS, (lambda: left @ right, lambda: convolution(image, weight)), strict=True))


def matrix_rate(timings: Mapping[str, Timing]) -> float:
    """Return floating-point operations per second of the faster matrix product."""
    return 2 * MATRIX**3 / min(timings[name].median for name in _PRODUCTS)


class _FlopCounter(TorchDispatchMode):
    """Adds up convolutions and products; torch's own counter does not know gradients of gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        self.total += count(*args, **(kwargs or {}), out_val=result) if count else 0
        return result


def count_flops(run: Callable[[], object]) -> int:
    """Return the floating-point operations of convolutions and matrix products, forward and backward."""
    with _FlopCounter() as counter:
        run()
    return counter.total


def peak_megabytes() -> float:
    """Return the most memory that this process ever held, in MB (Linux).

    Not `ru_maxrss`, which a process takes over from the one that started it.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
