"""The help of every command ends with examples, and they work."""

from __future__ import annotations

import inspect
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from utad_monai.apps.cli import app
from utad_monai.bundle import run as running

runner = CliRunner()
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
PROGRAM = "utad-monai"


def examples_of(command: str) -> list[str]:
    """Return the examples that a command's help gives, each a line."""
    lines = str(COMMANDS[command].epilog or "").splitlines()
    return [line.strip() for line in lines if line.strip().startswith(f"{PROGRAM} ")]


EXAMPLES = [example for command in COMMANDS for example in examples_of(command)]


def parsed(example: str) -> Any:
    """Parse an example as its command does, without running it."""
    _, name, *words = shlex.split(example)
    return COMMANDS[name].make_context(name, words)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_of_its_own(command: str) -> None:
    assert examples_of(command)
    assert {shlex.split(example)[1] for example in examples_of(command)} == {command}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_understood(example: str) -> None:
    assert parsed(example).info_name == shlex.split(example)[1]


def test_an_example_with_an_unknown_option_would_not_be_understood() -> None:
    with pytest.raises(Exception, match="No such option: --pace"):
        parsed("utad-monai complete cohort --output completed --pace 3")


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_printed_in_one_line_each(command: str) -> None:
    printed = runner.invoke(app, [command, "-h"], env={"COLUMNS": "80"}).stdout
    lines = [line.strip() for line in printed.splitlines()]
    assert [example for example in examples_of(command) if example not in lines] == []
    assert printed == runner.invoke(app, [command, "--help"], env={"COLUMNS": "80"}).stdout


@pytest.mark.parametrize("example", examples_of("run"))
def test_examples_of_trainings_name_configs_and_keys_that_there_are(
    example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []

    def run(**given: Any) -> None:
        calls.append(given)

    run.__signature__ = inspect.signature(running.run_bundle)  # type: ignore[attr-defined]
    monkeypatch.setattr(running, "run_bundle", run)
    result = runner.invoke(app, shlex.split(example)[1:])
    assert result.exit_code == 0, result.exception
    assert calls[0]["output_dir"] == "run"


def test_examples_of_the_first_day_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = [example for name in ("bundles", "phantom", "check") for example in examples_of(name)]
    for example in [*first, examples_of("complete")[0]]:
        if example.startswith("utad-monai complete"):
            (tmp_path / "cohort" / "BraTS20_Phantom_002" / "BraTS20_Phantom_002_t2.nii.gz").unlink()
        result = runner.invoke(app, shlex.split(example.replace("--cases 4", "--cases 2"))[1:])
        assert result.exit_code == 0, (example, result.output)
    assert (tmp_path / "check.json").is_file()
    assert len(list((tmp_path / "completed").rglob("*_t2_synthetic.nii.gz"))) == 1


def test_the_shell_completes_commands_without_waiting_for_torch(tmp_path: Path) -> None:
    program = (
        "import atexit, sys\n"
        "from utad_monai.apps.cli import main\n"
        f"sys.argv = ['/usr/bin/{PROGRAM}']\n"
        "atexit.register(lambda: sys.stderr.write(' '.join(sys.modules)))\n"
        "main()"
    )
    words = {"_UTAD_MONAI_COMPLETE": "complete_bash", "COMP_WORDS": f"{PROGRAM} comp", "COMP_CWORD": "1"}
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), **words},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert finished.stdout.split() == ["complete"]
    assert not {"torch", "monai", "pandas"} & set(finished.stderr.split())
