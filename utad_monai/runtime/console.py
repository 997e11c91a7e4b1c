"""What reaches the terminal: the log, one line for an expected error, and text from elsewhere made visible."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

from tqdm.contrib.logging import logging_redirect_tqdm

from utad_monai.errors import every_failure_is_of, expected_cause
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


_LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_of_the_run = ExitStack()
"""What belongs to the bundle that runs: its text log, and bars that messages do not cut."""


def begin_log(path: Path | None) -> None:
    """Let messages leave bars whole, and write them to a text log with their times; that of the run before ends.

    Errors that are raised are not said a second time by ignite, nor is the end by a signal, which is no error.

    Args:
        path: the log; what is in it stays. None for no log.

    Raises:
        OutputError: when it cannot be written.
    """
    _of_the_run.close()
    root = logging.getLogger()
    if path is not None:
        with every_failure_is_of(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            handler = logging.FileHandler(path, encoding="utf-8")
        handler.setFormatter(_LogLine(_LOG_FORMAT, "%Y-%m-%d %H:%M:%S"))
        root.addHandler(handler)
        _of_the_run.callback(handler.close)
        _of_the_run.callback(root.removeHandler, handler)
    _of_the_run.enter_context(logging_redirect_tqdm())
    for each in root.handlers:
        each.addFilter(_is_not_raised)


class _LogLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), keep="\n")


def _is_not_raised(record: logging.LogRecord) -> bool:
    """Tell whether a line is more than ignite's copy of an error, or of a signal, that is raised."""
    return "terminating due to exception" not in record.getMessage()


def show_error(error: BaseException) -> None:
    """Write an expected error to standard error, a line each, and to the log of the run."""
    for line in str(error).splitlines():
        sys.stderr.write(f"error: {visible(line)}\n")
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(logging.makeLogRecord({"levelno": logging.ERROR, "levelname": "ERROR", "msg": str(error)}))


def counted(number: int, noun: str) -> str:
    """Return a number with what is counted: `1 case`, `2 cases`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def show_next(commands: Sequence[str]) -> None:
    """Print the commands that may come next; nothing where there is none."""
    for place, command in enumerate(commands):
        sys.stdout.write(f"{'or:   ' if place else 'next: '}{visible(command)}\n")


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
        show_error(cause)

    sys.excepthook = hook
