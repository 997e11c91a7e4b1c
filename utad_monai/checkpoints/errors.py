"""What is wrong with a model file."""

from __future__ import annotations

from pathlib import Path


class CheckpointError(ValueError):
    """A model file that must not be used.

    Args:
        path: the file.
        reason: what is wrong, in a few words.
        remedy: what the user can do about it.
    """

    def __init__(self, path: str | Path, reason: str, remedy: str = "use a model file written by this project") -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(f"{path}: checkpoint {reason}; {remedy}")
