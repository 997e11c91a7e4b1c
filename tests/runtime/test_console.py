"""A name from elsewhere is shown, it does not act."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from utad_monai.apps.cli import main
from utad_monai.runtime.console import plain_log, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("BraTS_001 größer 病人", "BraTS_001 größer 病人"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\rb\x07", r"a\rb\x07"),
        ("two\nlines", r"two\nlines"),
        ("gpj\u202egnp", r"gpj\u202egnp"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_acts_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_line_ends_may_be_kept() -> None:
    assert visible("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_log_on_the_terminal_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with plain_log():
        logging.getLogger("utad_monai.test").warning("case %s", "\x1b[31m")
    assert stream.getvalue() == "warning: case \\x1b[31m\n"


def test_error_of_the_command_is_visible(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["utad-monai", "run", "\x1b[2J.json"])
    with pytest.raises(SystemExit):
        main()
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert r"\x1b[2J.json" in error


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
