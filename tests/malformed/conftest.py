"""Malformed cohorts are driven through the commands and through the preparation of a training, and judged."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from utad_monai.apps import cli
from utad_monai.data import CohortError, Preprocessing, prepare_cohort
from utad_monai.data.quality.finding import REFUSED_FILE
from utad_monai.errors import OutputError
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel, save_translator
from utad_monai.networks import TumourAwareGenerator, student_from_teacher
from utad_monai.runtime.console import visible
from utad_monai.transforms import IntensityWindow

NEIGHBOURS = ("BraTS_000", "BraTS_002")
"""The sound cases of every cohort."""
NOBODY = 65534
SECONDS, MEGABYTES = 2.0, 200.0
"""What the refusal of a cohort of three cases may cost."""
FRAME = Preprocessing((96.0, 96.0), (32, 32))

Contents = dict[str, bytes]


@dataclass(frozen=True)
class Output:
    """What a command said and how it ended."""

    code: int
    lines: tuple[str, ...]


@dataclass
class Bench:
    """Drives one cohort after the other.

    Attributes:
        folder: every user can read it; models and outputs lie here.
        model: a tiny untrained student.
    """

    folder: Path
    model: Path
    clean: dict[str, tuple[Contents, set[str]]] = field(default_factory=dict)

    def new_folder(self) -> Path:
        """Give an empty folder that every user may write."""
        made = Path(tempfile.mkdtemp(dir=self.folder))
        made.chmod(0o777)
        return made

    def command(self, *arguments: object, as_nobody: bool = False) -> Output:
        """Run the command line in this process."""
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
            patch.setattr(sys, "argv", ["utad-monai", *map(str, arguments)])
            stack.enter_context(contextlib.redirect_stdout(said))
            stack.enter_context(contextlib.redirect_stderr(said))
            stack.enter_context(plain_user() if as_nobody else contextlib.nullcontext())
            with pytest.raises(SystemExit) as ended:
                cli.main()
        return Output(int(ended.value.code or 0), tuple(said.getvalue().splitlines()))

    def complete(self, cohort: Path, output: Path, model: Path | None = None, as_nobody: bool = False) -> Output:
        """Make T2 of every case."""
        arguments = ("complete", cohort, "--model", model or self.model, "--output", output, "--target", "t2")
        return self.command(*arguments, as_nobody=as_nobody)

    def clean_run(self, cohort: Path) -> tuple[Contents, set[str]]:
        """Return what the sound cases give without the bad one: the files, and what is said."""
        sound = [cohort / name for name in NEIGHBOURS if (cohort / name).is_dir()]
        digest = hashlib.sha256()
        for path in sorted(path for folder in sound for path in folder.iterdir()):
            digest.update(path.name.encode() + path.read_bytes())
        if digest.hexdigest() not in self.clean:
            alone, output = self.new_folder() / "cohort", self.new_folder()
            for folder in sound:
                shutil.copytree(folder, alone / folder.name)
            ended = self.complete(alone, output)
            assert ended.code == 0, ended.lines
            self.clean[digest.hexdigest()] = contents(output), {shape_of(line) for line in ended.lines}
        return self.clean[digest.hexdigest()]

    def judge(
        self,
        cohort: Path,
        right: str,
        pattern: str,
        bad: Sequence[str],
        output: Path | None = None,
        training: str | None = None,
        as_nobody: bool = False,
    ) -> None:
        """Fail unless `complete`, `check` and the preparation of a training do what is right.

        Args:
            cohort: the folder or table with a bad case.
            right: `error`, `nothing` (an error that leaves no case), `warning` or `silent`.
            pattern: what a message must match.
            bad: words of which the message must hold one, such as the file and the case.
            output: where `complete` writes.
            training: what is right for a training, where it differs.
            as_nobody: run as a user without privileges.
        """
        output = output or self.new_folder()
        ended = self.complete(cohort, output, as_nobody=as_nobody)
        assert ended.code == {"error": 2, "nothing": 1}.get(right, 0), ended.lines
        files, usual = self.clean_run(cohort) if right != "nothing" else ({}, set())
        news = [line for line in ended.lines if shape_of(line) not in usual]
        judge_messages(news, right, pattern, bad)
        assert {name: content for name, content in contents(output).items() if name in files} == files
        self.judge_check(cohort, right, pattern, as_nobody)
        self.judge_training(cohort, training or right, pattern, output, as_nobody)

    def judge_check(self, cohort: Path, right: str, pattern: str, as_nobody: bool) -> None:
        """Fail unless `check` says the same, in time and without much memory."""
        if right == "nothing" and cohort.is_dir() and any(cohort.iterdir()):
            return  # the output was bad, not the cohort
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        ended = self.command("check", cohort, "--json", "-", "--workers", 1, as_nobody=as_nobody)
        assert time.monotonic() - start < SECONDS
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEGABYTES
        assert ended.code == {"error": 2, "nothing": 1}.get(right, 0), ended.lines
        assert right == "silent" or any(re.search(pattern, line, re.IGNORECASE) for line in ended.lines)

    def judge_training(self, cohort: Path, right: str, pattern: str, refused_in: Path, as_nobody: bool) -> None:
        """Fail unless a training refuses or warns, and goes on without the bad case when it is told to."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(plain_user() if as_nobody else contextlib.nullcontext())
            if right in ("error", "nothing"):
                with pytest.raises((CohortError, OutputError)) as refusal:
                    prepare(cohort, refused_in, "refuse")
                assert re.search(pattern, str(refusal.value), re.IGNORECASE)
                assert visible(refusal.value.path.name) in str(refusal.value)
                for problem in getattr(refusal.value, "problems", [refusal.value]):
                    assert len(str(problem).splitlines()) == 1
            if right != "nothing":
                output = self.new_folder()
                said = prepare(cohort, output, "skip")
                assert right == "silent" or any(re.search(pattern, line, re.IGNORECASE) for line in said)
                skipped = (output / REFUSED_FILE).read_text(encoding="utf-8").splitlines()[1:]
                assert bool(skipped) == (right == "error")


def prepare(cohort: Path, output: Path, policy: str) -> list[str]:
    """Prepare a training, check that its sound cases are there, and return what the log said."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("utad_monai")
    logger.addHandler(handler)
    try:
        prepared = prepare_cohort(cohort, output, FRAME, 0.0, 0.0, workers=1, progress=False, on_bad_case=policy)
    finally:
        logger.removeHandler(handler)
    expected = {name for name in NEIGHBOURS if (cohort / name).is_dir()}
    assert expected <= set(prepared.store.cases)
    assert len(said) == len(set(said))
    return said


def judge_messages(lines: Sequence[str], right: str, pattern: str, bad: Sequence[str]) -> None:
    """Fail unless one line names the bad file and the reason, and nothing is said twice, or of sound cases."""
    assert not any("Traceback" in line for line in lines), lines
    told = [line for line in lines if line.startswith(("error:", "warning:"))]
    assert len(told) == len(set(told)), told
    if right == "silent":
        assert not [line for line in told if re.match("error", line)], told
        return
    level = "warning:" if right == "warning" else "error:"
    matching = [line for line in told if line.startswith(level) and re.search(pattern, line, re.IGNORECASE)]
    assert any(word in line for word in bad for line in matching), (lines, pattern, bad)


def contents(output: Path) -> Contents:
    """Return the synthetic files of the sound cases."""
    folders = [output / "synthetic" / name for name in NEIGHBOURS]
    return {f"{f.name}/{p.name}": p.read_bytes() for f in folders if f.is_dir() for p in sorted(f.iterdir())}


def shape_of(line: str) -> str:
    """Return a line without the name of the case and what differs between cases and places."""
    return re.sub(r"(BraTS_\d+|/\S+|\d+)", "?", line)


@contextlib.contextmanager
def plain_user() -> Iterator[None]:
    """Work as a user who must obey permissions."""
    import torch._dynamo  # noqa: F401  # now: a plain user may not be able to read its files

    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    """Give the place where malformed cohorts are judged."""
    torch.manual_seed(0)
    student = student_from_teacher(TumourAwareGenerator(2), "complete").eval()
    windows = {modality: IntensityWindow(40.0, 900.0) for modality in Modality}
    errors = {target: {source: 0.1 for source in Modality if source != target} for target in Modality}
    folder = Path(tempfile.mkdtemp(prefix="malformed-"))
    folder.chmod(0o777)
    save_translator(
        folder / "model.safetensors",
        TranslatorModel(student, FRAME, target_windows=windows, source_errors=errors, training={"stage": "student"}),
    )
    yield Bench(folder, folder / "model.safetensors")
    shutil.rmtree(folder, ignore_errors=True)
