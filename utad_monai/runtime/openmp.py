"""How the threads of torch (GNU OpenMP) wait for each other; without torch, which reads it when it is imported."""

from __future__ import annotations

import os

SPIN_COUNT = "GOMP_SPINCOUNT"
"""The variable of GNU's OpenMP: turns of a loop that a thread waits awake before it sleeps."""
BRIEFLY = 3000
"""About 30 microseconds; the library's own choice is a hundred times that."""


def wait_briefly() -> bool:
    """Let threads sleep soon while they wait for each other, and return whether that was up to us.

    As it comes, a thread waits awake for milliseconds. Beside another busy program it waits for one that is not
    running, on the processor that this one needs. A training alone is as fast with brief waiting, and results are the
    same, bit for bit (docs/performance.md). Call it before torch is imported; what the user has set is obeyed.
    """
    if any(name in os.environ for name in ("OMP_WAIT_POLICY", SPIN_COUNT)):
        return False
    os.environ[SPIN_COUNT] = str(BRIEFLY)
    return True
