"""The one exception that every check of an image raises."""

from __future__ import annotations

from pathlib import Path


class InvalidImageError(ValueError):
    """An image file that must not be used.

    Args:
        path: the file.
        reason: what is wrong, in a few words.
        remedy: what the user can do about it.
    """

    def __init__(self, path: str | Path, reason: str, remedy: str = "replace or re-export the file") -> None:
        self.path = Path(path)
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{self.path}: {reason}; {remedy}")

    def __reduce__(self) -> tuple[type[InvalidImageError], tuple[Path, str, str]]:
        """Keep the three parts when the error crosses a process border."""
        return InvalidImageError, (self.path, self.reason, self.remedy)
