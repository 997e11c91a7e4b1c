"""What can be wrong with an inference engine."""

from __future__ import annotations

import importlib
from typing import Any

from utad_monai.keys import InferenceEngine


class EngineError(RuntimeError):
    """An inference engine that cannot be used; its text is one line with what to do."""


def required_module(name: str, engine: InferenceEngine, extra: str) -> Any:
    """Import a library that an engine needs.

    Args:
        name: the library.
        engine: what needs it.
        extra: of this project, which installs it.

    Raises:
        EngineError: when it is not installed, naming the command.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        remedy = f'pip install "utad-monai[{extra}]", or choose --engine {InferenceEngine.TORCH}'
        raise EngineError(f"engine {engine}: {name} is not installed; {remedy}") from error
