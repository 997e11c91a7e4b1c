"""Errors that users can mend: one line each, with what to do, instead of a page of traceback."""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utad_monai.earlier_names import component_of_earlier_name

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE = (*_NO_ROOM, errno.EROFS)
"""What only writing raises, so that it is told apart from sources that cannot be read."""


def __getattr__(name: str) -> Any:
    """Find what configs of earlier versions look for here: no package, so that an import does not reach it."""
    return component_of_earlier_name(f"{__name__}.{name}")


class UserError(Exception):
    """What a user can mend; its text is complete, and no traceback is shown.

    Args:
        path: the file or folder that it is about; empty for none.
        reason: what is wrong, in a few words.
        remedy: what the user can do about it; empty where the reason says so.
    """

    exit_code = 1
    """What a command that it ends returns; 2 where the command itself was wrong."""

    def __init__(self, path: str | Path, reason: str, remedy: str = "") -> None:
        self.path = Path(path)
        self.reason = reason
        self.remedy = remedy
        super().__init__(self._line(str(path)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep text and parts when the error crosses a process border, whatever the constructor of a kind takes."""
        return _rebuilt, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        """Return the one line that users read."""
        return str(self.args[0]) if self.args else ""

    def _line(self, path: str) -> str:
        where = f"{path}: " if path else ""
        return f"{where}{self.reason}" + (f"; {self.remedy}" if self.remedy else "")


def _rebuilt(kind: type[UserError], arguments: tuple[str, ...], parts: dict[str, Any]) -> UserError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments  # an OSError leaves them to its constructor, which is not called
    error.__dict__.update(parts)
    return error


class InvalidImageError(UserError, ValueError):
    """An image file that must not be used."""

    def __init__(self, path: str | Path, reason: str, remedy: str = "replace or re-export the file") -> None:
        super().__init__(path, reason, remedy)


class CheckpointError(UserError, ValueError):
    """A model file that must not be used."""

    def __init__(self, path: str | Path, reason: str, remedy: str = "use a model file written by this project") -> None:
        super().__init__(path, reason, remedy)

    def _line(self, path: str) -> str:
        return f"{path}: checkpoint {self.reason}; {self.remedy}"


class PackageError(UserError, RuntimeError):
    """A package that cannot be written."""


class MissingLibraryError(UserError, RuntimeError):
    """A library of an extra is not installed."""


class OutputError(UserError, OSError):
    """A folder or file that cannot be written; the reason is what the system says."""

    def _line(self, path: str) -> str:
        return f"{path}: cannot be written ({self.reason}); {self.remedy}"

    @classmethod
    def of(cls, path: str | Path, error: OSError) -> OutputError:
        """Say which folder an error of the system is about; what was said already stays as it is."""
        if isinstance(error, OutputError):
            return error
        first = "free space" if error.errno in _NO_ROOM else "check what it is and its permission"
        return cls(path, error.strerror or str(error), f"{first}, or choose another output folder")


def required_module(name: str, purpose: str, extra: str, otherwise: str = "") -> Any:
    """Import a library of an extra.

    Args:
        name: the library.
        purpose: what needs it.
        extra: of this project, which installs it.
        otherwise: how to do without; empty where nothing can.

    Raises:
        MissingLibraryError: when it is not installed, naming the command.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        remedy = f'pip install "utad-monai[{extra}]"' + (f", or {otherwise}" if otherwise else "")
        raise MissingLibraryError("", f"{purpose}: {name} is not installed", remedy) from error


def unwritable(error: BaseException | None) -> OSError | None:
    """Return the first error in a chain of causes that says that nothing can be written, such as a full disk."""
    for one in _chain(error):
        if isinstance(one, OutputError) or (isinstance(one, OSError) and one.errno in _UNWRITABLE):
            return one
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


def expected_cause(error: BaseException | None) -> BaseException | None:
    """Return the first `UserError` in a chain of causes, or None; MONAI wraps what a config raises.

    A full disk is expected too, whichever library met it.
    """
    full = unwritable(error)
    for one in _chain(error):
        if isinstance(one, UserError):
            return one
    return None if full is None else OutputError.of(full.filename or "the output folder", full)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
