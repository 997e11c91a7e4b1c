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
        self.remedy = remedy
        super().__init__(f"{path}: checkpoint {reason}; {remedy}")

    def __reduce__(self) -> tuple[type[CheckpointError], tuple[Path, str, str]]:
        """Keep the three parts when the error crosses a process border."""
        return type(self), (self.path, self.reason, self.remedy)
