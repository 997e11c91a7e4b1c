"""What cannot be written ends in one plain line: which folder, why, and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE = (*_NO_ROOM, errno.EROFS)
"""What only writing raises, so that it is told apart from sources that cannot be read."""


class OutputError(OSError):
    """A folder or file that cannot be written.

    Args:
        path: the folder.
        reason: what the system says.
        remedy: what the user can do about it.
    """

    def __init__(self, path: str | Path, reason: str, remedy: str) -> None:
        self.path = Path(path)
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{self.path}: cannot be written ({reason}); {remedy}")

    def __reduce__(self) -> tuple[type[OutputError], tuple[Path, str, str]]:
        """Keep the parts when the error crosses a process border."""
        return OutputError, (self.path, self.reason, self.remedy)

    @classmethod
    def of(cls, path: str | Path, error: OSError) -> OutputError:
        """Say which folder an error of the system is about; what was said already stays as it is."""
        if isinstance(error, OutputError):
            return error
        first = "free space" if error.errno in _NO_ROOM else "check what it is and its permission"
        return cls(path, error.strerror or str(error), f"{first}, or choose another output folder")


def unwritable(error: BaseException | None) -> OSError | None:
    """Return the first error in a chain of causes that says that nothing can be written, such as a full disk."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OutputError) or (isinstance(error, OSError) and error.errno in _UNWRITABLE):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def every_failure_is_of(folder: Path) -> Iterator[None]:
    """Turn every error of the system in the block into an `OutputError` of a folder."""
    try:
        yield
    except OSError as error:
        raise OutputError.of(folder, error) from error


@contextmanager
def full_disk_is_of(folder: Path) -> Iterator[None]:
    """Turn a full disk into an `OutputError` of a folder, also where a library gives it another name.

    Torch, for one, raises `RuntimeError: unexpected pos 640 vs 598` then. So after an error that says nothing about the
    disk, a small file is tried.
    """
    try:
        yield
    except Exception as error:
        failure = unwritable(error) or _tried(folder)
        if failure is None:
            raise
        raise OutputError.of(folder, failure) from error


def _tried(folder: Path) -> OSError | None:
    """Return why a small file cannot be written to a folder, or None where it can."""
    trial = folder / f".partial-{os.getpid()}-trial"
    try:
        trial.write_bytes(bytes(1 << 16))
    except OSError as error:
        return unwritable(error)
    finally:
        trial.unlink(missing_ok=True)
    return None
