"""Logging configs: Python evaluates what they say of handlers, so one from elsewhere may only write to the terminal."""

from __future__ import annotations

import ast
import configparser
from pathlib import Path

from utad_monai.trust import ConfigFileError, UntrustedConfigError

_HANDLERS = ("StreamHandler", "logging.StreamHandler", "NullHandler", "logging.NullHandler")
"""Handlers that write no file: a chosen line in a chosen file can be code."""
_FORMATTERS = ("", "logging.Formatter")
_STREAMS = ("(sys.stderr,)", "(sys.stdout,)")
_EVALUATED = ("args", "kwargs", "defaults")


def refuse_unsafe_logging(path: str | Path) -> None:
    """Refuse a logging config whose handlers or formatters could do more than write to the terminal.

    Raises:
        UntrustedConfigError: naming file, section and text.
        ConfigFileError: when the file is missing or damaged.
    """
    config = configparser.ConfigParser()
    try:
        with Path(path).open(encoding="utf-8") as file:
            config.read_file(file)
        entries = [
            (section, key, config.get(section, key, raw=key in ("format", "datefmt")))
            for section in config.sections()
            for key in config[section]
        ]
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigFileError(path, f"no readable logging config ({reason})", "mend the file") from error
    for section, key, value in entries:
        if not _is_harmless(section, key, value.strip()):
            reason = f"{key} {value!r:.200} is not allowed in an untrusted logging config"
            hint = "StreamHandler with constants, sys.stderr or sys.stdout is"
            raise UntrustedConfigError(path, f"{section}: {reason} ({hint})", "--trust if you wrote it")


def _is_harmless(section: str, key: str, value: str) -> bool:
    if key == "class":
        return value in (_FORMATTERS if section.startswith("formatter_") else _HANDLERS)
    return key not in _EVALUATED or value in _STREAMS or _is_constant(value)


def _is_constant(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
