"""One run a folder: a lock that ends with its process, however that ends, and the cleaning that it makes safe.

Record locks (`fcntl.lockf`) belong to a process alone. Other locks are inherited by the workers that a process forks:
after a kill those would keep them for a while, and the next run would be refused. They hold across machines on NFS; a
file system that knows no locks gets a warning instead.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from utad_monai.errors import UserError, every_failure_is_of
from utad_monai.runtime.files import remove_partials
from utad_monai.runtime.parallel import rank

LOCK_FILE = ".utad-monai.lock"
"""Name of the lock in the folder that is held; it says who holds it, and is gone when nobody does."""
_HELD_BY_OTHERS = (errno.EACCES, errno.EAGAIN)
_PATIENCE_SECONDS = 10.0
"""How long sharers wait for one who is alone for a moment, cleaning."""

_logger = logging.getLogger(__name__)
_held: dict[Path, int] = {}
"""Open lock files of this process. Opening one again and closing it would give the lock away."""


class FolderInUseError(UserError, RuntimeError):
    """Another run is writing to a folder.

    Args:
        path: the folder.
        holder: who that is: host, process and since when.
    """

    def __init__(self, path: str | Path, holder: str) -> None:
        self.holder = holder
        super().__init__(path, f"is in use by {holder}", "wait until it ends, or choose another output folder")


@contextmanager
def locked_folder(folder: str | Path, shared: bool = False, deep: bool = True) -> Iterator[Path]:
    """Make a folder when it is missing and hold it while the block runs; within one process this can be nested.

    Args:
        folder: where the block writes.
        shared: whether others may hold it too, of those who share; for writers that never write the same file.
        deep: whether all that killed runs left half written below it is removed, or only what lies directly in it.
            Sharers do so only when they are alone, and folders inside that another run holds are passed over.

    Raises:
        FolderInUseError: when another process holds it.
        OutputError: when the folder cannot be written.
    """
    path = Path(folder).absolute()
    if _is_held(path):
        yield path
        return
    with every_failure_is_of(path):
        path.mkdir(parents=True, exist_ok=True)
        _held[path] = _acquire(path, shared, deep)
    try:
        yield path
    except BaseException:
        if not shared:  # workers that were ended had no time to clean
            remove_partials(path, in_use if deep else lambda _: True)
        raise
    finally:
        _release(path)


def hold_folder(folder: str | Path) -> None:
    """Hold a folder until this process ends, as one step of a bundle; the first of processes that train together does.

    Raises:
        FolderInUseError: when another process holds it.
        OutputError: when the folder cannot be written.
    """
    if rank() == 0:
        lock = locked_folder(folder)
        lock.__enter__()
        Finalize(None, lock.__exit__, args=(None, None, None), exitpriority=0)  # also at the end of pool workers


def in_use(folder: Path) -> bool:
    """Tell whether another process holds a folder."""
    if not (folder / LOCK_FILE).is_file() or _is_held(folder.absolute()):
        return False
    try:
        handle = os.open(folder / LOCK_FILE, os.O_RDWR)
    except OSError:
        return True
    try:
        return not _try(handle, fcntl.LOCK_EX)
    finally:
        os.close(handle)


def _acquire(folder: Path, shared: bool, deep: bool) -> int:
    """Return the open lock file once it is locked and is still the one that others find."""
    deadline = time.monotonic() + (_PATIENCE_SECONDS if shared else 0)
    while True:
        handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
        alone = _try(handle, fcntl.LOCK_EX)
        if (alone or (shared and _try(handle, fcntl.LOCK_SH))) and _is_current(folder, handle):
            break
        holder = _holder(handle)
        os.close(handle)
        if not alone and time.monotonic() >= deadline:
            raise FolderInUseError(folder, holder)
        time.sleep(0.05)
    if alone:
        _begin_alone(folder, handle, deep)
    if alone and shared:
        _try(handle, fcntl.LOCK_SH)
    return handle


def _begin_alone(folder: Path, handle: int, deep: bool) -> None:
    """Say who holds the folder, and clean it."""
    try:
        _sign(handle)
        remove_partials(folder, in_use if deep else lambda _: True)
    except OSError:
        os.close(handle)
        raise


def _release(folder: Path) -> None:
    handle = _held.pop(folder, None)
    if handle is None:
        return
    with suppress(OSError):
        if _is_current(folder, handle) and _try(handle, fcntl.LOCK_EX):  # the last of those who share
            (folder / LOCK_FILE).unlink(missing_ok=True)
    os.close(handle)


def _try(handle: int, kind: int) -> bool:
    try:
        fcntl.lockf(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD_BY_OTHERS:
            return False
        _logger.warning("this file system knows no locks (%s): let no other run write there", error.strerror)
    return True


def _is_held(folder: Path) -> bool:
    return folder in _held and _is_current(folder, _held[folder])


def _is_current(folder: Path, handle: int) -> bool:
    """Tell whether an open lock file is the one in the folder: its last holder removes it."""
    try:
        found, opened = os.stat(folder / LOCK_FILE), os.fstat(handle)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)


def _sign(handle: int) -> None:
    holder = {"host": socket.gethostname(), "process": os.getpid(), "since": datetime.now().isoformat(" ", "seconds")}
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(holder).encode(), 0)


def _holder(handle: int) -> str:
    try:
        holder: dict[str, Any] = json.loads(os.pread(handle, 4096, 0))
        return f"process {int(holder['process'])} on {holder['host']!s:.80} since {holder['since']!s:.40}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
