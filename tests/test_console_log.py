"""The log on a terminal: plain lines, and the logger is given back as it was."""

from __future__ import annotations

import logging

import pytest

from utad_monai.console_log import plain_log


def test_messages_are_plain_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("utad_monai.anything")
    with plain_log():
        logger.info("found %d cases", 3)
        logger.warning("odd")
        logger.error("bad")
    assert capsys.readouterr().err.splitlines() == ["found 3 cases", "warning: odd", "error: bad"]


def test_logger_is_given_back_as_it_was() -> None:
    logger = logging.getLogger("utad_monai")
    before = logger.level, logger.propagate, list(logger.handlers)
    with pytest.raises(KeyboardInterrupt), plain_log():
        raise KeyboardInterrupt
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
