"""What can be wrong with writing a package."""

from __future__ import annotations

import importlib
from typing import Any

_EXTRA = 'pip install "utad-monai[export]"'


class PackageError(RuntimeError):
    """A package that cannot be written; its text is one line with what to do."""


def required_module(name: str) -> Any:
    """Import a library of the `export` extra.

    Raises:
        PackageError: when it is not installed, naming the command.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PackageError(
            f"{name} is not installed, ONNX needs it: {_EXTRA}, or leave ONNX out (--no-onnx)"
        ) from error
