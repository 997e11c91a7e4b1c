"""Change what a model file holds, in both forms that are read: safetensors, and the torch files of earlier versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from utad_monai.models.stages import EARLIER_MODEL_FILE, MODEL_FILE
from utad_monai.models.weights_file import is_safetensors, read_safetensors, write_safetensors

Content = dict[str, Any]
BOTH_NAMES = (MODEL_FILE, EARLIER_MODEL_FILE)


def content_of(path: Path) -> Content:
    """Return all that a sound model file holds: format, kind, version, description and weights."""
    if is_safetensors(path):
        return read_safetensors(path)
    content: Content = torch.load(path, weights_only=True)
    return content


def write_content(path: Path, content: Content) -> Path:
    """Write a model file unchecked, as a torch file where its name ends in `.pt`."""
    if path.suffix == ".pt":
        torch.save(content, path)
    else:
        heading = {key: value for key, value in content.items() if key != "weights"}
        write_safetensors(path, heading, content["weights"])
    return path


def rewrite(path: Path, change: Callable[[Content], object] = lambda _: None) -> Path:
    """Change the content of a model file in place; its name says the form that it then has."""
    content = content_of(path)
    change(content)
    return write_content(path, content)
