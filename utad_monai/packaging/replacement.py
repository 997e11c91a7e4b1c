"""Put a finished folder in the place of an older one; a kill at any moment leaves one of the two."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utad_monai.atomic import atomic_folder


@contextmanager
def replaced_folder(folder: str | Path) -> Iterator[Path]:
    """Give a temporary folder and, when the block ends well, put it in the place of `folder`.

    A folder cannot be renamed over another one. So the new one is finished beside it first, and the old one steps aside
    for the moment of a rename; if the process dies in this moment, the next call brings the old one back.

    Raises:
        OSError: when a folder cannot be written; the old one stays.
    """
    folder = Path(folder)
    finished, aside = (folder.with_name(f".{word}-{folder.name}") for word in ("finished", "previous"))
    recover_folder(folder)
    shutil.rmtree(finished, ignore_errors=True)
    with atomic_folder(finished) as temporary:
        yield temporary
    if folder.exists():
        os.rename(folder, aside)
    try:
        os.rename(finished, folder)
    except OSError:
        recover_folder(folder)
        shutil.rmtree(finished, ignore_errors=True)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def recover_folder(folder: str | Path) -> None:
    """Bring back a folder that stepped aside when its replacement was interrupted; drop one that was replaced."""
    folder = Path(folder)
    aside = folder.with_name(f".previous-{folder.name}")
    if aside.exists() and not folder.exists():
        os.rename(aside, folder)
    shutil.rmtree(aside, ignore_errors=True)
