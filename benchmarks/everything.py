"""Run every benchmark, each in a process of its own, and keep what they print in `benchmarks/results.json`.

python -m benchmarks.everything [--only data --only metrics]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import torch

from benchmarks.paired import figures_in
from benchmarks.render import RESULTS, write_tables
from utad_monai.runtime.files import write_json

BENCHMARKS: Mapping[str, Sequence[str]] = {
    "training_step teacher demo": ("benchmarks.training_step", "demo", "--rounds", "15"),
    "training_step student demo": ("benchmarks.training_step", "demo", "--role", "student", "--rounds", "15"),
    "training_step teacher small": ("benchmarks.training_step", "small", "--rounds", "15"),
    "training_step student small": ("benchmarks.training_step", "small", "--role", "student", "--rounds", "15"),
    "levers teacher": ("benchmarks.levers", "teacher"),
    "levers student": ("benchmarks.levers", "student"),
    "training_step teacher paper": ("benchmarks.training_step", "paper"),
    "training_step student paper": ("benchmarks.training_step", "paper", "--role", "student"),
    "inference demo": ("benchmarks.inference", "demo"),
    "inference paper": ("benchmarks.inference", "paper", "--compile", "--every", "4"),
    "data": ("benchmarks.data",),
    "metrics": ("benchmarks.metrics",),
    "commands demo": ("benchmarks.commands", "demo", "--cases", "2"),
    "commands paper": (
        "benchmarks.commands",
        "paper",
        "--cases",
        "1",
        "--rounds",
        "1",
        "--works",
        "CHECK",
        "ONE_SOURCE",
    ),
    "scaling demo": ("benchmarks.scaling", "demo", "--seconds", "6", "--rounds", "5"),
    "scaling paper": ("benchmarks.scaling", "paper", "--seconds", "5", "--rounds", "5"),
    "busy machine": ("benchmarks.busy_machine",),
    "quality": ("benchmarks.quality",),
    "guidance": ("benchmarks.guidance",),
    "teaching": ("benchmarks.teaching",),
    "brain box": ("benchmarks.brain_box", "demo"),
    "brain box small": ("benchmarks.brain_box", "small"),
    "brain box switched": ("benchmarks.brain_box", "demo switched"),
    "brain box small switched": ("benchmarks.brain_box", "small switched", "--seeds", "12"),
}
"""Module and arguments of each benchmark, which prints JSON; modules that are not there are passed over."""


def machine() -> dict[str, Any]:
    """Return what the figures depend on; never the machine's name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def available(names: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return the commands of the benchmarks of these names (all when empty) whose modules are there."""
    chosen = {name: command for name, command in BENCHMARKS.items() if not names or name in names}
    return {name: command for name, command in chosen.items() if importlib.util.find_spec(command[0])}


def run(command: Sequence[str]) -> dict[str, Any] | None:
    """Return the figures that a benchmark prints last; None, after its error was shown, when it fails."""
    done = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.PIPE, encoding="utf-8", check=False)
    with suppress(ValueError):
        if done.returncode == 0:
            return figures_in(done.stdout)
    print(done.stdout, file=sys.stderr)
    return None


def main() -> int:
    """Run from the command line; return how many benchmarks failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], choices=BENCHMARKS)
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    failed = 0
    for name, command in available(options.only).items():
        print(f"{name}: python -m {' '.join(command)}", file=sys.stderr)
        if (found := run(command)) is None:
            failed += 1
        else:
            results[name] = {"machine": machine(), "figures": found}
            write_json(RESULTS, results)
    write_tables()
    return failed


if __name__ == "__main__":
    sys.exit(main())
