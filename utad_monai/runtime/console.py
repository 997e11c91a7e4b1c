"""What reaches the terminal: the log, one line for an expected error, and text from elsewhere made visible."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

from tqdm.contrib.logging import logging_redirect_tqdm

from utad_monai.errors import expected_cause
from utad_monai.runtime.signals import interruptible

TRACEBACK_VARIABLE = "UTAD_MONAI_TRACEBACK"
"""Set this environment variable to see tracebacks all the same."""
_until_the_end = ExitStack()
"""What stays as it is while the process lives."""


def visible(text: str, keep: str = "") -> str:
    r"""Return a text in which everything that cannot be printed is written out, such as `\x1b`.

    A file's name must neither steer a terminal nor turn the reading direction.

    Args:
        text: anything, such as an error with the name of a file.
        keep: characters that are left as they are, such as a line's end.
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


_PACKAGE = "utad_monai"


class _PlainLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = visible(record.getMessage(), keep="\n")
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"


@contextmanager
def plain_log() -> Iterator[None]:
    """Show the library's messages on standard error while the block runs: `warning: ...`, `error: ...`."""
    logger = logging.getLogger(_PACKAGE)
    before = logger.level, logger.propagate
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainLine())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        with logging_redirect_tqdm([logger]):
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


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
