"""Files: written whole or not at all, hashed, tables and JSON that are read with care."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pandas
import psutil
from platformdirs import user_cache_path

from utad_monai.errors import every_failure_is_of, full_disk_is_of

_PREFIX = ".partial-"
_NAME_BYTES = 200
"""File systems take names of 255 bytes; the rest is for prefix, process and chance."""
_PATIENCE_SECONDS = 1.0
"""How long a killed process may take to end: it has its memory to give back."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the same folder and, when the block ends well, rename it over `path`.

    The content is on the disk before the name changes, so a kill at any moment leaves the old file or the new one.
    The temporary keeps the target's ending, which writers such as nibabel look at.

    Args:
        path: the file to write; its folder is made when it is missing.

    Raises:
        OutputError: when the folder or file cannot be written, or the disk is full; the old file stays and nothing is
            left behind.
    """
    path = Path(path)
    with every_failure_is_of(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_own_prefix(), suffix=_ending(path), dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        os.chmod(temporary, 0o666 & ~_umask())
        with full_disk_is_of(path.parent):
            yield temporary
        with every_failure_is_of(path.parent):
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside `path` and, when the block ends well, rename it to `path`.

    When another process made `path` meanwhile, its result is kept and this one is dropped.

    Raises:
        OutputError: when the folder cannot be written, or the disk is full; nothing is left behind.
    """
    path = Path(path)
    with every_failure_is_of(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=_own_prefix(), suffix=_ending(path), dir=path.parent))
    try:
        os.chmod(temporary, 0o777 & ~_umask())
        with full_disk_is_of(path.parent):
            yield temporary
        with every_failure_is_of(path.parent):
            for file in temporary.rglob("*"):
                _sync(file)
            _rename_folder(temporary, path)
            _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename_folder(temporary: Path, path: Path) -> None:
    try:
        os.rename(temporary, path)
    except OSError:
        if not path.exists():
            raise


def remove_partials(folder: str | Path, busy: Callable[[Path], bool] = lambda _: False) -> None:
    """Remove what killed processes left half written below a folder, but nothing of a process that lives.

    Hold the folder's lock (`utad_monai.runtime.folder_lock`), which calls this: the process that a temporary names may
    live on another machine.

    Args:
        folder: where to look.
        busy: tells sub-folders that others are writing, which are passed over.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if name.startswith(_PREFIX) and not _outlives(deadline, name):
                _remove(Path(place) / name)
        folders[:] = [name for name in folders if not (name.startswith(_PREFIX) or busy(Path(place) / name))]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _ending(path: Path) -> str:
    """Return the end of a name, so short that the temporary's name is not too long when the name itself is not."""
    return "-" + path.name.encode(errors="surrogateescape")[-_NAME_BYTES:].decode(errors="ignore")


def _own_prefix() -> str:
    return f"{_PREFIX}{os.getpid()}-"


def _outlives(deadline: float, name: str) -> bool:
    """Tell whether a temporary is that of a process which still runs at a time, or now when that has passed."""
    while _lives(name):
        if time.monotonic() >= deadline:
            return True
        time.sleep(0.01)
    return False


def _lives(name: str) -> bool:
    """Tell whether a temporary may be that of another process which runs on this machine.

    A process that has ended but that nobody has asked for its result, as happens in containers, writes no more.
    """
    process = name.removeprefix(_PREFIX).split("-")[0]
    if not process.isdecimal() or int(process) == os.getpid():
        return False
    try:
        return psutil.Process(int(process)).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def write_json(path: str | Path, content: Any) -> None:
    """Write plain data as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def digest(content: Any) -> str:
    """Return 16 hexadecimal digits that are the same for the same plain data."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


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


_FORMULA = re.compile(r"'*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""What begins like a formula, perhaps behind the apostrophes that make it a text."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What no case name holds: it would break a line, steer a terminal, or cannot be written as UTF-8."""


def write_table(path: str | Path, table: pandas.DataFrame, float_format: str | None = None) -> None:
    """Write a CSV file atomically; texts that begin like a formula get an apostrophe, control characters are escaped.

    Numbers stay numbers. `read_table` takes the apostrophes away again.

    Raises:
        OSError: when the file cannot be written; an older one stays.
    """
    safe = _mapped(table, _safe)
    with atomic_path(path) as temporary:
        safe.to_csv(temporary, index=False, float_format=float_format)


def read_table(path: str | Path, **options: Any) -> pandas.DataFrame:
    """Read a CSV file that `write_table` or a person wrote.

    Args:
        path: the file.
        options: of `pandas.read_csv`.

    Raises:
        ValueError: when it is no table.
        OSError: when it cannot be read.
    """
    return _mapped(pandas.read_csv(path, **options), _original)


def _mapped(table: pandas.DataFrame, change: Callable[[Any], Any]) -> pandas.DataFrame:
    """Return a table with its texts and names changed; columns of numbers stay as they are."""
    texts = [name for name in table.columns if not pandas.api.types.is_numeric_dtype(table[name])]
    changed = table.assign(**{str(name): table[name].map(change) for name in texts})
    return changed.rename(columns=change)


def _safe(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    text = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), cell)
    return f"'{text}" if _FORMULA.match(text) else text


def _original(cell: Any) -> Any:
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell) else cell


HOME_VARIABLE = "UTAD_MONAI_HOME"
"""Environment variable that moves the folder."""


def home_dir() -> Path:
    """Return `$UTAD_MONAI_HOME`, or else the system's place for caches (`~/.cache`); it need not be there.

    A user who has no home, or none that can be written (a number without a name in a container), gets a folder of
    their own among the temporary ones.
    """
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named).expanduser()
    try:
        folder = user_cache_path("utad_monai", appauthor=False).expanduser()
    except RuntimeError:  # there is no home
        return _temporary_home()
    return folder if _can_be_made(folder) else _temporary_home()


def _can_be_made(folder: Path) -> bool:
    """Tell whether a folder is there, or the nearest one above it that is may be written."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    return there == folder or os.access(there, os.W_OK)


@cache
def _temporary_home() -> Path:
    """Return a folder that is this user's alone: of their number, or a new one where somebody else took that name."""
    folder = Path(tempfile.gettempdir()) / f"utad_monai-{os.getuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid == os.getuid() and not folder.is_symlink() and folder.stat().st_mode & 0o077 == 0:
            return folder
    return Path(tempfile.mkdtemp(prefix="utad_monai-"))
