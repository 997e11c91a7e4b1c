"""What a process frees, it keeps, where glibc can be told to."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from utad_monai import allocator
from utad_monai.allocator import keep_freed_memory

_WORK = """
import resource, sys
import torch
from utad_monai.allocator import keep_freed_memory
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
