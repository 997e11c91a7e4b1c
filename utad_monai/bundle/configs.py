"""Bundle configs: where they are, and a check that no override is misspelt.

MONAI adds an unknown override as a new key without a word; here it is an error before anything else runs.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import pydoc
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle import run as bundle_run

from utad_monai.errors import UserError

_FOLDER = "bundles"
_INSTALLED = Path("share") / "utad_monai" / _FOLDER
_COMPONENT_KEYS = ("_desc_", "_disabled_", "_mode_", "_requires_")
"""Keys beside `_target_` that MONAI itself reads."""


class UnknownOverrideError(UserError, ValueError):
    """An override on the command line names no key of the config."""


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
    if arguments is None:
        if "monai" not in Path(sys.argv[0]).parts:
            return
        arguments = sys.argv[1:]
    options = _options(arguments)
    files = options.get("config_file")
    if not arguments or arguments[0] != "run" or files is None:
        return
    config = ConfigParser(config=ConfigParser.load_config_files(_file_list(files)))
    known = set(inspect.signature(bundle_run).parameters) - {"override"}
    for name in options:
        if name not in known and not _has(config, name):
            raise UnknownOverrideError("", _advice(name, config, known))


def _options(arguments: Sequence[str]) -> dict[str, str]:
    """Return the options of a fire command line: `--name value`, `--name=value` or a bare `--name`."""
    options: dict[str, str] = {}
    for place, argument in enumerate(arguments):
        if argument.startswith("--"):
            name, _, value = argument[2:].partition("=")
            following = arguments[place + 1] if place + 1 < len(arguments) else ""
            options[name.replace("-", "_")] = value or following
    return options


def _file_list(text: str) -> list[str]:
    try:
        parsed = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text.split(",") if not Path(text).is_file() else [text]
    return [str(item) for item in parsed] if isinstance(parsed, (list, tuple)) else [str(parsed)]


def _has(config: ConfigParser, name: str) -> bool:
    """Tell whether a config has a key such as `train::trainer::max_epochs`, looking into lists by number."""
    node: Any = config.get()
    for part in name.lstrip("+").replace("#", "::").split("::"):
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            # a constructor argument that the file leaves at its default may be given all the same
            return isinstance(node, dict) and "_target_" in node and _takes(node["_target_"], part)
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


def _advice(name: str, config: ConfigParser, known: set[str]) -> str:
    close = difflib.get_close_matches(name.replace("#", "::"), [*_paths(config.get()), *known], n=1)
    hint = f"did you mean --{close[0]}?" if close else "the keys are those of the config file"
    return f"--{name}: the config has no such key; {hint}"
