from __future__ import annotations

import platform
from pathlib import Path

import pytest

from benchmarks import everything
from benchmarks.everything import available, machine, run


def test_benchmarks_that_are_not_there_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(everything, "BENCHMARKS", {"data": ("benchmarks.data",), "other": ("benchmarks.absent",)})
    assert available([]) == {"data": ("benchmarks.data",)}
    assert available(["other"]) == {}


def test_the_machine_has_no_name() -> None:
    assert platform.node() not in map(str, machine().values())


def test_what_a_benchmark_prints_is_kept_and_a_failure_is_none(tmp_path: Path) -> None:
    printed = tmp_path / "figures.json"
    printed.write_text('{"times_faster": {"ours": 1.5}}', encoding="utf-8")
    assert run(["json.tool", str(printed)]) == {"times_faster": {"ours": 1.5}}
    assert run(["json.tool", str(tmp_path / "absent.json")]) is None


def test_what_libraries_log_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text("print('2026: {', end='}\\n')\nprint('{\\n    \"a\": 1\\n}')", encoding="utf-8")
    (tmp_path / "silent.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run(["noisy"]) == {"a": 1}
    assert run(["silent"]) is None
