"""Links in a cohort: they may lead around inside it, and beyond it only where the user, not the cohort, says so."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from utad_monai.runtime.files import write_json
from utad_monai.runtime.home import home_dir

LINKS_VARIABLE = "UTAD_MONAI_LINKS"
"""Environment variable with the folders that links of a cohort may lead to, separated as in PATH."""
LEAVES = "is a symbolic link that leads outside the cohort"
"""Why a link is refused."""
REMEDY = f"copy the files into the cohort, or name the folder that it leads to in {LINKS_VARIABLE}"
"""What the user can do about it."""

_FOLDER = "links"
_TARGETS = "folders"

_logger = logging.getLogger(__name__)


class Containment:
    """Which paths below a cohort's root may be read.

    Those that lie inside it when all links are followed, inside a folder of `$UTAD_MONAI_LINKS`, or where this user's
    own `complete` led the links of a tree. Nothing inside the cohort can widen it.

    Args:
        root: the cohort's folder.
    """

    def __init__(self, root: str | Path) -> None:
        named = filter(None, os.environ.get(LINKS_VARIABLE, "").split(os.pathsep))
        self._allowed = frozenset(_real(folder) for folder in (root, *named, *_remembered(Path(root))))

    def leaves(self, path: Path) -> bool:
        """Tell whether a path leads outside; one that leads nowhere does not."""
        try:
            resolved = path.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # in this order: absent, a link to itself, a null character
            return False
        return self._allowed.isdisjoint((resolved, *resolved.parents))


def remember_links(root: Path, folders: Iterable[Path]) -> None:
    """Keep, in the user's own folder, where the links below a root lead; what was kept for the root is replaced."""
    content = {"root": str(_real(root)), _TARGETS: sorted({str(_real(folder)) for folder in folders})}
    try:
        write_json(_record(root), content)
    except OSError as error:
        _logger.warning("%s: %s cannot be written (%s): name it in %s", root, _record(root), error, LINKS_VARIABLE)


def _remembered(root: Path) -> list[str]:
    try:
        folders = json.loads(_record(root).read_text(encoding="utf-8"))[_TARGETS]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [folder for folder in folders if isinstance(folder, str)] if isinstance(folders, list) else []


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve it survives links in circles


def _record(root: Path) -> Path:
    name = hashlib.sha256(os.fsencode(_real(root))).hexdigest()[:32]
    return home_dir() / _FOLDER / f"{name}.json"
