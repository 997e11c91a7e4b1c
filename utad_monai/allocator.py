"""The memory of freed tensors, kept for the next step instead of given back to the system."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of glibc's malloc.h."""
_LARGEST_TENSOR_BYTES = 2**30


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, and return whether it does: only glibc can be told so.

    As it comes, glibc maps every large tensor anew, and the system clears its pages each time: a third of a training
    step at the published size (docs/performance.md). What is kept is the peak, which a process needs anyway.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_TENSOR_BYTES)) and bool(mallopt(_TRIM_THRESHOLD, -1))
