"""UTAD-MONAI: tumour-aware translation between brain MRI modalities, as a MONAI pipeline."""

from __future__ import annotations

import getpass
import os
import sys
from typing import TYPE_CHECKING, Any

from utad_monai.earlier_names import EarlierNames

if TYPE_CHECKING:
    from utad_monai.translator import MissingMRI, Translator

__all__ = ["MissingMRI", "Translator", "__version__"]

__version__ = "0.1.0"

if sys.platform == "win32":
    raise ImportError("utad-monai works on Linux and macOS; on Windows, use it in WSL 2 or in a container")

sys.meta_path.append(EarlierNames())


def _name_the_user() -> None:
    """Give a user without a name one (a number without a passwd entry): MONAI and torch ask for it and fail."""
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ["USER"] = f"user{os.getuid()}"


_name_the_user()


def __dir__() -> list[str]:
    """List what users look for, also before it is imported."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import the Python door when it is asked for: the command and its help do not wait for torch."""
    if name in ("MissingMRI", "Translator"):
        from utad_monai import translator

        return getattr(translator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
