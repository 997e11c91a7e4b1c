"""A config is code: one from elsewhere runs only when it does nothing that the packaged bundles do not do.

MONAI evaluates every text that begins with `$` and calls whatever a `_target_` names. An untrusted config may hold
plain data, references, and the very expressions and components of the packaged bundles; nothing else.
"""

from __future__ import annotations

import ast
import configparser
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from utad_monai.bundle.configs import bundles_dir
from utad_monai.earlier_names import EARLIER_NAMES
from utad_monai.errors import UserError

_MAX_BYTES, _MAX_ENTRIES, _MAX_DEPTH = 4 * 2**20, 100_000, 64
_TARGET, _MODE, _DEBUG = "_target_", "_mode_", "_debug_"
_MODES = ("default", "callable")
_OF_PACKAGES = ("utad_monai.models.fill_from_package",)
"""Components of the configs that `utad-monai package` writes, beside those of the bundles and their earlier names."""
_REMEDY = "--trust if you wrote it"


class ConfigFileError(UserError, RuntimeError):
    """A config file that cannot be used."""


class UntrustedConfigError(ConfigFileError):
    """A config that could run code, from someone who is not trusted; the text names file, key and expression."""


def refuse_untrusted_file(path: str | Path) -> None:
    """Refuse a config file that does anything that the packaged bundles do not do.

    Raises:
        UntrustedConfigError: naming file, key and expression.
        ConfigFileError: when the file is missing, damaged or too large.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigFileError(path, "no such config file, and no packaged bundle has this name")
    if path.stat().st_size > _MAX_BYTES:
        raise ConfigFileError(path, "the config is too large", f"the limit is {_MAX_BYTES // 2**20} MB")
    try:
        content = ConfigParser.load_config_file(path)
    except Exception as error:  # the parsers of JSON and YAML have many kinds of errors
        reason = " ".join(str(error).split())[:200]
        raise ConfigFileError(path, f"the config is no readable JSON or YAML ({reason})", "mend the file") from error
    refuse_untrusted(content, path)


def refuse_untrusted(content: Any, source: str | Path) -> None:
    """Refuse config content, or overrides of one, that does anything that the packaged bundles do not do.

    Args:
        content: as it came from JSON.
        source: what the error calls it.

    Raises:
        UntrustedConfigError: naming source, key and expression.
    """
    for number, (key, value) in enumerate(_entries(content, source)):
        if number > _MAX_ENTRIES:
            raise UntrustedConfigError(source, "the config holds too much", _REMEDY)
        if reason := _reason(key, value):
            raise UntrustedConfigError(source, f"{key or 'config'}: {reason} in an untrusted config", _REMEDY)


def _reason(key: str, value: Any) -> str:
    """Return why an entry must not be used; empty when it may."""
    name = re.split(r"::|#", key)[-1]
    if name == _TARGET and (not isinstance(value, str) or value not in _packaged_targets()):
        return f"component {value!r:.200} is not allowed"
    if (name == _MODE and value not in _MODES) or name == _DEBUG:
        return f"{name} {value!r:.200} is not allowed"
    if isinstance(value, str) and value.startswith("$") and value not in _packaged_expressions():
        return f"expression {value!r:.200} is not allowed"
    if isinstance(value, str) and value.startswith("%"):
        return f"reading from another config, {value!r:.200}, is not allowed"
    return ""


def _entries(node: Any, source: str | Path, key: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > _MAX_DEPTH:
        raise UntrustedConfigError(source, "the config is nested too deeply", _REMEDY)
    yield key, node
    children = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        yield from _entries(child, source, f"{key}::{name}" if key else str(name), depth + 1)


@cache
def _packaged_texts() -> tuple[tuple[str, str], ...]:
    """Return key and value of every text in the packaged bundles."""
    contents = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in bundles_dir().glob("*.json")}
    entries = (entry for name, content in contents.items() for entry in _entries(content, name))
    return tuple((key, value) for key, value in entries if isinstance(value, str))


@cache
def _packaged_expressions() -> frozenset[str]:
    return frozenset(value for _, value in _packaged_texts() if value.startswith("$"))


@cache
def _packaged_targets() -> frozenset[str]:
    used = (value for key, value in _packaged_texts() if key.endswith(f"::{_TARGET}"))
    return frozenset({*used, *_OF_PACKAGES, *EARLIER_NAMES})


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
