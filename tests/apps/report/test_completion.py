"""The report of a completion: one page without scripts, pictures first of what somebody should look at."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from utad_monai.apps.cli import app
from utad_monai.apps.complete import Completion, complete_cohort
from utad_monai.apps.report.completion import is_completion, write_completion_report
from utad_monai.data.quality.finding import CohortError
from utad_monai.keys import Modality

FLAIR, T1, T1CE, T2 = Modality


@pytest.fixture
def done(tmp_path: Path, write_case: Callable[..., Any], student_file: Path) -> Path:
    """A completion of three cases: one done, one whole, one broken."""
    write_case(tmp_path / "cohort", "a", [FLAIR, T1, T2], seed=1)
    write_case(tmp_path / "cohort", "b", seed=2)
    broken = write_case(tmp_path / "cohort", "c<d>", [FLAIR, T1, T2], seed=3)
    (broken / "c<d>_t1.nii.gz").write_bytes(b"broken")
    complete_cohort(Completion(tmp_path / "cohort", student_file, output_dir=tmp_path / "done", progress=False))
    return tmp_path / "done"


def test_page_shows_every_case_and_says_what_not_to_believe(done: Path) -> None:
    page = write_completion_report(done).read_text(encoding="utf-8")
    assert "3 cases: 1 done, 1 skipped (nothing was missing), 1 refused" in page
    assert "Enhancement is not predicted" in page
    assert re.findall(r"<h3>(\S+) ", page) == ["c&lt;d&gt;", "a", "b"]
    assert 'alt="Slices of a: real images left, SYNTHETIC images right"' in page


def test_page_loads_nothing_and_runs_nothing(done: Path) -> None:
    page = write_completion_report(done).read_text(encoding="utf-8")
    assert "<script" not in page
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in re.findall(r'src="([^"]+)"', page))
    links = re.findall(r'href="([^"]+)"', page)
    assert "synthetic/a/a_preview.png" in links
    assert all((done / link).is_file() for link in links)


def test_pictures_beyond_the_limit_are_linked(done: Path) -> None:
    page = write_completion_report(done, max_pictures=0).read_text(encoding="utf-8")
    assert "<img" not in page
    assert '<a href="synthetic/a/a_preview.png">picture</a>' in page


def test_missing_or_damaged_picture_costs_nothing_but_itself(done: Path) -> None:
    picture = done / "synthetic" / "a" / "a_preview.png"
    picture.write_bytes(b"broken")
    assert "<img" not in write_completion_report(done).read_text(encoding="utf-8")
    picture.unlink()
    assert "preview.png" not in write_completion_report(done).read_text(encoding="utf-8")


def test_damaged_manifest_is_an_error_of_one_line(done: Path) -> None:
    (done / "manifest.json").write_text(json.dumps({"cases": 3}))
    with pytest.raises(CohortError, match=r"manifest.json: is no manifest of a completion"):
        write_completion_report(done)


def test_command_tells_completions_from_runs(done: Path, tmp_path: Path) -> None:
    assert not is_completion(tmp_path)
    ran = CliRunner().invoke(app, ["report", str(done)])
    assert ran.exit_code == 0, ran.output
    assert f"written: {done / 'report.html'}" in ran.output
