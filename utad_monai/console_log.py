"""The library's log as plain lines on a terminal, above progress bars."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm.contrib.logging import logging_redirect_tqdm

from utad_monai.visible import visible

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
