"""JSON that an earlier run wrote: it says what is finished, and whatever became of it, reading it never raises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_MAX_BYTES = 1 << 26
"""No record is larger; whatever has another size was not written here."""


def read_record(path: str | Path) -> dict[str, Any] | None:
    """Return the object in a JSON file, or None when it is missing, damaged or no object."""
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
