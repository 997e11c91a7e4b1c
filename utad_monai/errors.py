"""How errors reach the user: one line, with what to do, instead of a page of traceback."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from transforms import InvalidImageError
from utad_monai.checkpoints import CheckpointError
from utad_monai.completion.shards import ShardError
from utad_monai.configuration import UnknownOverrideError
from utad_monai.data.problems import CohortError
from utad_monai.folder_lock import FolderInUseError
from utad_monai.handlers.non_finite import NonFiniteLossError
from utad_monai.inferers.engines import EngineError
from utad_monai.interruption import interruptible
from utad_monai.output_error import OutputError, unwritable
from utad_monai.packaging.errors import PackageError
from utad_monai.stages import MissingStageError, StudyError
from utad_monai.training_state import ResumeError
from utad_monai.trust import ConfigFileError
from utad_monai.visible import visible

EXPECTED = (
    CheckpointError,
    CohortError,
    ConfigFileError,
    EngineError,
    FolderInUseError,
    InvalidImageError,
    MissingStageError,
    NonFiniteLossError,
    OutputError,
    PackageError,
    ResumeError,
    ShardError,
    StudyError,
    UnknownOverrideError,
)
"""Errors whose text is complete: the user needs no traceback."""
_until_the_end = ExitStack()
"""What stays as it is while the process lives."""
TRACEBACK_VARIABLE = "UTAD_MONAI_TRACEBACK"
"""Set this environment variable to see tracebacks all the same."""


def expected_cause(error: BaseException | None) -> BaseException | None:
    """Return the first expected error in a chain of causes, or None; MONAI wraps what a config raises.

    A full disk is expected too, whichever library met it.
    """
    full = unwritable(error)
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, EXPECTED):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None if full is None else OutputError.of(full.filename or "the output folder", full)


def print_expected_errors_plainly() -> None:
    """Make this process end with `error: <text>` and exit code 1 on an expected error.

    A process of `python -m monai.bundle` also ends in order on SIGTERM and SIGINT from now on, with 143 and 130.
    """
    if "monai" in Path(sys.argv[0]).parts:
        _until_the_end.enter_context(interruptible())
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        cause = expected_cause(error)
        if cause is None or os.environ.get(TRACEBACK_VARIABLE):
            previous(kind, error, traceback)
            return
        for line in str(cause).splitlines():
            sys.stderr.write(f"error: {visible(line)}\n")

    sys.excepthook = hook
