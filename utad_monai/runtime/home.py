"""The user's own folder for what outlives a run: the phantom, and which links were made."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

HOME_VARIABLE = "UTAD_MONAI_HOME"
"""Environment variable that moves the folder."""


def home_dir() -> Path:
    """Return `$UTAD_MONAI_HOME`, or else the system's place for caches (`~/.cache`); it need not be there."""
    return Path(os.environ.get(HOME_VARIABLE) or user_cache_path("utad_monai", appauthor=False)).expanduser()
