"""Threads wait briefly unless the user says otherwise, and torch hears of it in time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from utad_monai.runtime.openmp import wait_briefly


@pytest.mark.parametrize("variable", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", ""])
def test_threads_wait_briefly_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert wait_briefly() is not bool(variable)
    assert os.environ.get("GOMP_SPINCOUNT") == {"": "3000", "GOMP_SPINCOUNT": "1"}.get(variable)


def test_the_command_says_so_before_torch_is_there() -> None:
    code = (
        "import os, sys; import utad_monai.apps.cli as cli; assert 'torch' not in sys.modules;"
        "cli.app = lambda: print(os.environ['GOMP_SPINCOUNT']); cli.main()"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP", "GOMP"))}
    done = subprocess.run([sys.executable, "-c", code], check=True, env=environment, stdout=subprocess.PIPE, text=True)
    assert done.stdout == "3000\n"
