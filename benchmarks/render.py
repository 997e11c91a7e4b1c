"""Write the figures of `benchmarks/results.json` as tables into the pages that have a place for them.

python -m benchmarks.render
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from utad_monai.runtime.files import atomic_path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
PAGES = (ROOT / "docs" / "performance.md", ROOT / "docs" / "scaling.md")

_TABLE = re.compile(r"<!-- figures of (?P<name>[\w ]+) -->\n.*?<!-- end -->\n", re.DOTALL)
_SPREAD = 3


def rendered(page: str, results: Mapping[str, Any]) -> str:
    """Return the page with every table made anew."""
    return _TABLE.sub(lambda found: _block(found["name"], results.get(found["name"])), page)


def _block(name: str, result: Mapping[str, Any] | None) -> str:
    lines = ["Not measured yet."] if result is None else [*_table(result["figures"]), "", _machine(result["machine"])]
    return "\n".join([f"<!-- figures of {name} -->", *lines, "<!-- end -->", ""])


def _table(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "| Measure | Value |"
    yield "|---|--:|"
    for path, value in _flat(figures):
        yield f"| {path} | {_words(value)} |"


def _machine(machine: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()) + "."


def _flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every figure with its path; a median with its least and greatest value is one figure."""
    if isinstance(node, Mapping):
        for key, child in node.items():
            yield from _flat(child, f"{path}, {key}".removeprefix(", ").replace("_", " "))
    else:
        yield path, node


def _words(value: Any) -> str:
    if isinstance(value, list) and len(value) == _SPREAD and any(isinstance(one, float) for one in value):
        median, least, most = map(_words, value)
        return f"{median} ({least} to {most})"
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def places() -> list[str]:
    """Return the names of the tables that the pages have."""
    return [found["name"] for page in PAGES for found in _TABLE.finditer(page.read_text(encoding="utf-8"))]


def write_tables() -> None:
    """Write the pages anew."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    for page in PAGES:
        text = rendered(page.read_text(encoding="utf-8"), results)
        with atomic_path(page) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_tables()
