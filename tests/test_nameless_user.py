"""A number without a name (`docker run --user 12345`), without a home that can be written: commands work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "UTAD_MONAI_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR")
NOBODY = """
import os, pwd, runpy, sys
def unknown(*_):
    raise KeyError("getpwuid(): uid not found: 12345")
pwd.getpwuid = unknown
sys.argv = ["utad-monai", *sys.argv[1:]]
"""


def run(place: Path, code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of a user whom the system does not know."""
    given = {name: value for name, value in os.environ.items() if name not in NAMES}
    return subprocess.run(
        [sys.executable, "-c", NOBODY + code, *arguments],
        cwd=place,
        env={**given, "PYTHONPATH": str(ROOT), "TMPDIR": str(place), **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.command_line
@pytest.mark.parametrize("home", [None, "/proc", "/nowhere/at/all"])
def test_a_command_works(tmp_path: Path, write_case: Callable[..., Path], home: str | None) -> None:
    write_case(tmp_path / "cohort", "A_1")
    environment = {} if home is None else {"HOME": home}
    code = "runpy.run_module('utad_monai', run_name='__main__')"
    checked = run(tmp_path, code, "check", str(tmp_path / "cohort"), **environment)
    assert checked.returncode == 0, checked.stderr
    assert "Traceback" not in checked.stderr


def test_what_the_project_keeps_has_a_place(tmp_path: Path) -> None:
    code = "from utad_monai.runtime.files import home_dir, write_json; write_json(home_dir() / 'links' / 'x.json', {})"
    written = run(tmp_path, code)
    assert written.returncode == 0, written.stderr
    assert (tmp_path / f"utad_monai-{os.getuid()}" / "links" / "x.json").is_file()


def test_monai_and_torch_find_a_name_after_the_package(tmp_path: Path) -> None:
    code = "import utad_monai, getpass, monai, matplotlib, torch._inductor.runtime.cache_dir_utils as c; c.cache_dir()"
    named = run(tmp_path, f"{code}; print(getpass.getuser())")
    assert named.stdout.strip() == f"user{os.getuid()}", named.stderr


def test_a_user_with_a_name_keeps_it() -> None:
    code = "import os; before = dict(os.environ); import utad_monai; assert dict(os.environ) == before"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
