"""The one way in which tables are written: whole or not at all, and with no cell that a spreadsheet would run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas

from utad_monai.runtime.files import atomic_path

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
