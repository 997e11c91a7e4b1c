"""Bundle configs: where they are, and a check that no override is misspelt and no value is wrong.

MONAI adds an unknown override as a new key without a word, and takes any value; here both are errors before anything
else runs.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import json
import pydoc
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser
from monai.bundle import run as bundle_run

from utad_monai.bundle.knobs import FLAG, KNOBS, NUMBER, PATH, RELATIONS, SOURCES_OF_INFERENCE, WHOLE, Kind
from utad_monai.errors import UserError

_FOLDER = "bundles"
_INSTALLED = Path("share") / "utad_monai" / _FOLDER
_TARGET = "_target_"
_COMPONENT_KEYS = ("_desc_", "_disabled_", "_mode_", "_requires_")
"""Keys beside `_target_` that MONAI itself reads."""
_CONFIG = "config_file"
_OF_MONAI = set(inspect.signature(bundle_run).parameters) - {"override"}
_OPTION = re.compile(r"--|-[A-Za-z]")
_REFERENCE = re.compile(r"@([\w:#]+)")
_LITERALS = ((bool, FLAG), (int, WHOLE), (float, NUMBER))
"""What may stand in the place of a literal of a file; a whole number may not become another one."""


class UnknownOverrideError(UserError, ValueError):
    """An override on the command line names no key of the config."""


class WrongValueError(UserError, ValueError):
    """A knob of a config has a value that it must not have."""

    exit_code = 2


def bundles_dir() -> Path:
    """Return the folder of the packaged bundle configs, in a checkout or in an installation.

    Raises:
        FileNotFoundError: when the installation lacks them.
    """
    candidates = (Path(__file__).resolve().parents[2] / _FOLDER, Path(sysconfig.get_path("data")) / _INSTALLED)
    for candidate in candidates:
        if (candidate / "teacher.json").is_file():
            return candidate
    raise FileNotFoundError(f"no bundle configs in {' or '.join(map(str, candidates))}: install the package again")


def refuse_unknown_overrides(arguments: Sequence[str] | None = None) -> None:
    """Refuse `--key value` overrides of `python -m monai.bundle run` whose key the config files do not have.

    Args:
        arguments: the command line after the program's name; by default this process's own. Other commands and
            Python callers are left alone.

    Raises:
        UnknownOverrideError: naming the key and the closest known one.
    """
    options = options_of_a_run(arguments)
    if not options:
        return
    config = ConfigParser(config=ConfigParser.load_config_files(_file_list(options[_CONFIG])))
    for name in options:
        if name not in _OF_MONAI and not has_key(config, name):
            raise UnknownOverrideError("", _advice(name, config))


def refuse_wrong_values(arguments: Sequence[str] | None = None) -> None:
    """Refuse values that no knob of the config may have, be they overrides or of a file, before anything is prepared.

    Args:
        arguments: as for `refuse_unknown_overrides`, whose check comes first.

    Raises:
        WrongValueError: naming the knob, its value and what it must be.
    """
    options = options_of_a_run(arguments)
    if not options:
        return
    config = ConfigParser(config=ConfigParser.load_config_files(_file_list(options[_CONFIG])))
    given = {name: text for name, text in options.items() if name not in _OF_MONAI}
    for name, text in given.items():
        if kind_of(config, name) is PATH and _misread(config, text):
            remedy = f"write ./{text}" if "#" not in text else "utad-monai run takes it as it is"
            reason = f"--{name} {text}: would be read as a number, a list or a reference, and is a path"
            raise WrongValueError("", reason, remedy)
    refuse_values(config, {name: DefaultParseValue(text) for name, text in given.items()})


def refuse_values(config: ConfigParser, overrides: Mapping[str, Any]) -> None:
    """Refuse values of a config, or of overrides of it, that a knob must not have.

    References, expressions and components are left to MONAI, but for a reference to nothing.

    Raises:
        WrongValueError: naming the knob, its value and what it must be.
    """
    content = config.get()
    of_files = {name: content[name] for name in KNOBS if name in content and name not in overrides}
    for name, value in {**overrides, **of_files}.items():
        kind = kind_of(config, name)
        if kind and not kind.fits(value) and not _is_code(config, value):
            raise WrongValueError("", f"{_shown(name, value, overrides)}: needs {kind.expected}")
    # an overlay may bring knobs that a bundle has no use for, such as the decay of a segmentation
    used = set(re.findall(r"@(\w+)", json.dumps(content, default=str)))
    values = {name: value for name, value in {**of_files, **overrides}.items() if name in used}
    for relation in RELATIONS:
        if fault := relation.fault(values):
            name = relation.names[0]
            raise WrongValueError("", f"{_shown(name, values[name], overrides)}: {fault}")


def _shown(name: str, value: Any, overrides: Mapping[str, Any]) -> str:
    return f"--{name} {value}" if name in overrides else f"{name} {value}"


def kind_of(config: ConfigParser, name: str) -> Kind | None:
    """Return what the value of a key may be: as its knob, else as what the file has there; None where nobody says.

    A key that refers to a knob, such as `train::trainer::max_epochs`, may be what the knob may be.
    """
    key, node = name.lstrip("+").replace("#", "::"), None
    while key:
        if key == "sources" and "targets" in config.get():
            return SOURCES_OF_INFERENCE
        if key in KNOBS:
            return KNOBS[key]
        try:
            node = config[key]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
        refers = _REFERENCE.fullmatch(node) if isinstance(node, str) else None
        key = refers[1].replace("#", "::") if refers else ""
    if name.startswith("loss_weights"):
        return KNOBS["cycle_weight"]
    return next((kind for types, kind in _LITERALS if isinstance(node, types)), None)


def literal_path(path: str | Path) -> str:
    """Return a path as MONAI takes it unchanged, whatever it looks like: what begins like code or has `#` is quoted."""
    text = str(path)
    if not text.startswith(("@", "$", "%")) and "#" not in text:
        return text
    return "$" + "".join(f"\\x{ord(c):02x}" if c in "@$%#" else c for c in repr(text))


def refers_to_a_key(config: ConfigParser, text: str) -> bool:
    """Tell whether a text is a reference, such as `@output_dir`, to a key that a config has."""
    refers = _REFERENCE.fullmatch(text)
    return refers is not None and has_key(config, refers[1])


def _is_code(config: ConfigParser, value: Any) -> bool:
    """Tell whether MONAI reads a value as more than data."""
    if isinstance(value, Mapping):
        return _TARGET in value
    if isinstance(value, list | tuple):
        return any(_is_code(config, one) for one in value)
    return isinstance(value, str) and (value.startswith(("$", "%")) or refers_to_a_key(config, value))


def _misread(config: ConfigParser, text: str) -> bool:
    """Tell whether `python -m monai.bundle` takes a path for something else, or changes it."""
    read = DefaultParseValue(text)
    if not isinstance(read, str) or "#" in read or (read != text and text[0] not in "'\""):
        return True
    if read.startswith("$"):  # an expression that makes a path refers to one, calls something or has a text in it
        return not any(mark in read for mark in "@('\"")
    return bool(_REFERENCE.fullmatch(read)) and not refers_to_a_key(config, read)


def options_of_a_run(arguments: Sequence[str] | None = None) -> dict[str, str]:
    """Return the options of `python -m monai.bundle run` with a config; none of other commands and callers.

    Args:
        arguments: the command line after the program's name; by default this process's own.
    """
    if arguments is None:
        arguments = sys.argv[1:] if "monai" in Path(sys.argv[0]).parts else ()
    options = dict(_options(arguments))
    return options if arguments and arguments[0] == "run" and _CONFIG in options else {}


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the options of a fire command line: `--name value`, `--name=value`, or a bare `--name`, which is True."""
    waiting = list(arguments)
    while waiting:
        name, equals, value = waiting.pop(0).partition("=")
        if not _OPTION.match(name):
            continue
        if not equals:
            value = waiting.pop(0) if waiting and not _OPTION.match(waiting[0]) else "True"
        yield name.lstrip("-").replace("-", "_"), value


def _file_list(text: str) -> list[str]:
    try:
        parsed = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text.split(",") if not Path(text).is_file() else [text]
    return [str(item) for item in parsed] if isinstance(parsed, (list, tuple)) else [str(parsed)]


def has_key(config: ConfigParser, name: str) -> bool:
    """Tell whether a config has a key such as `train::trainer::max_epochs`, looking into lists by number."""
    node: Any = config.get()
    for part in name.lstrip("+").replace("#", "::").split("::"):
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            # a constructor argument that the file leaves at its default may be given all the same
            return isinstance(node, dict) and _TARGET in node and _takes(node[_TARGET], part)
    return True


def _takes(target: Any, argument: str) -> bool:
    """Tell whether a component can be given an argument; MONAI's bare names are left to MONAI, which refuses it."""
    component = pydoc.locate(str(target))
    if argument in _COMPONENT_KEYS or not callable(component):
        return True
    parameters = inspect.signature(component).parameters
    return argument in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _paths(node: Any, prefix: str = "") -> Iterator[str]:
    """Yield every key of a config, such as `train::trainer::max_epochs`."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield f"{prefix}{key}"
        yield from _paths(child, f"{prefix}{key}::")


def _advice(name: str, config: ConfigParser) -> str:
    close = difflib.get_close_matches(name.replace("#", "::"), [*_paths(config.get()), *_OF_MONAI], n=1)
    hint = f"did you mean --{close[0]}?" if close else "the keys are those of the config file"
    return f"--{name}: the config has no such key; {hint}"
