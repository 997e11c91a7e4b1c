"""JSON sidecars of BIDS and dcm2niix: beside an image, and in folders above it for all images of a kind."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_MAX_BYTES = 1 << 20
_ENDINGS = re.compile(r"(\.nii(\.gz)?|\.nrrd|\.mha|\.mhd|\.hdr|\.img)$", re.IGNORECASE)
_HEARD = re.compile(r"sub-[^_]+_")
"""Images whose sidecars may lie in folders above."""


def read_sidecar(path: Path, root: Path, leaves: Callable[[Path], bool]) -> dict[str, Any]:
    """Return what the sidecars of an image say; the nearest one wins, as BIDS has it.

    Args:
        path: the image.
        root: the folder above which nothing is looked for.
        leaves: tells of a file whether it must not be read, such as one outside the cohort.
    """
    content: dict[str, Any] = {}
    for file in _files(path, root):
        if not leaves(file):
            content |= _read(file)
    return content


def _files(path: Path, root: Path) -> Iterator[Path]:
    """Yield the sidecars that are there, the most general one first."""
    stem = _ENDINGS.sub("", path.name)
    if _HEARD.match(stem) and path.is_relative_to(root):
        *entities, suffix = stem.split("_")
        for folder in (*reversed(path.relative_to(root).parents), None):
            if folder is not None:
                yield from _inherited(root / folder, set(entities), suffix, stem)
    own = path.with_name(f"{stem}.json")
    if own.is_file():
        yield own


def _inherited(folder: Path, entities: set[str], suffix: str, stem: str) -> Iterator[Path]:
    try:
        names = [name for name in os.listdir(folder) if name.endswith(f"{suffix}.json") and name != f"{stem}.json"]
    except OSError:
        return
    for name in sorted(names, key=lambda name: name.count("_")):
        *said, kind = name.removesuffix(".json").split("_")
        if kind == suffix and set(said) <= entities:
            yield folder / name


def _read(file: Path) -> dict[str, Any]:
    """Return a sidecar's content; nothing for a file that is no JSON object, which other checks are there for."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            return {}
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
