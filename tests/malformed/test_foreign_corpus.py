"""A corpus of malformed inputs that was written elsewhere: `pytest tests/malformed --corpus FOLDER`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

RIGHT = {"error naming file and reason": "error", "accepted with warning": "warning", "accepted": "silent"}
NEEDS_A_PLAIN_USER = ("F08_unreadable", "F20_output_exists_readonly")
NOTHING_IS_LEFT = ("F17_empty_dataset", "F20_output_exists_readonly", "S10_datalist_traversal_csv")
COMPLETED_BY_DESIGN = {"F01_missing_modality": "silent", "F02_missing_seg": "silent"}
"""A missing modality is what this project makes; a missing segmentation matters to a training alone, which says so."""
TRAINED_BY_DESIGN = {"F01_missing_modality": "silent", "F02_missing_seg": "warning"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    corpus = metafunc.config.getoption("corpus")
    entries = json.loads((Path(corpus) / "expected.json").read_text(encoding="utf-8")) if corpus else {}
    metafunc.parametrize(("name", "entry"), entries.items(), ids=entries.keys())


def test_a_malformed_input_is_judged_rightly(bench: Any, name: str, entry: dict[str, str], request: Any) -> None:
    corpus = Path(request.config.getoption("corpus"))
    bad, kind, pattern = corpus / entry["bad_file"], entry["kind"], entry["message_should_match"]
    if kind in ("file", "seg", "fs", "datalist"):
        cohort = bad if kind == "datalist" else corpus / name / "cohort"
        right = "nothing" if name in NOTHING_IS_LEFT else COMPLETED_BY_DESIGN.get(name, RIGHT[entry["right"]])
        output = corpus / name / "out" if (corpus / name / "out").is_dir() else None
        named = (bad.name, bad.parent.name, output.name if output else bad.name)
        plain_user = name in NEEDS_A_PLAIN_USER
        bench.judge(cohort, right, pattern, named, output, TRAINED_BY_DESIGN.get(name), plain_user)
    else:
        judge_file(bench, bad, kind, pattern, corpus)
    assert not (corpus / entry["marker"]).exists()


def judge_file(bench: Any, bad: Path, kind: str, pattern: str, corpus: Path) -> None:
    """Fail unless a bad model or config ends the command with one line."""
    if kind in ("ckpt", "archive"):
        ended = bench.complete(corpus / "F18_plain_nii" / "cohort", bench.new_folder(), model=bad)
    else:
        ended = bench.command("run", bad)
        if any("No such command" in line for line in ended.lines):
            pytest.skip("this version has no command that runs configs")
    assert ended.code == 1, ended.lines
    assert any(line.startswith("error:") and re.search(pattern, line, re.IGNORECASE) for line in ended.lines)
