"""What a browser may do with a report: run the report's own scripts, show its own images, and nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

_NOTHING_ELSE = (
    "default-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "img-src data: blob:",
    "connect-src data: blob:",
    "worker-src blob:",
    "font-src data:",
)
"""The viewer reads the volumes that the page holds, in a worker that it makes itself; nothing is fetched or sent."""


def content_security_policy(scripts: Sequence[str], style: str) -> str:
    """Return a policy under which nothing runs but the given texts: they are named by their hashes.

    Args:
        scripts: the text of every script element, exactly; empty ones do not count.
        style: the text of the style element.
    """
    runs = " ".join(_hash(script) for script in scripts if script)
    return "; ".join((*_NOTHING_ELSE, f"script-src {runs}", f"style-src {_hash(style)}"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
