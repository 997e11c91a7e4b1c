"""Case names become file names, table cells and log lines: which ones are safe."""

from __future__ import annotations

import unicodedata

MAX_NAME_BYTES = 200
"""Longest case name in UTF-8: file systems allow 255 bytes, and endings follow."""
_FORMULA_SIGNS = ("=", "+", "-", "@")


def unsafe_name(name: str) -> str:
    """Return why a case name must not be used; empty when it may."""
    if not name.strip():
        return "is empty"
    if "/" in name or "\\" in name or name.startswith("."):
        return "would be a path: it holds a separator or begins with a dot"
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "holds control characters"
    if name != name.strip():
        return "begins or ends with a space"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return ""


def doubtful_name(name: str) -> str:
    """Return what is suspicious about a case name; empty when nothing is."""
    if unsafe_name(name):
        return f"the case name {name!r} {unsafe_name(name)}"
    if name.startswith(_FORMULA_SIGNS):
        return f"the case name begins with the character {name[0]!r}: spreadsheets take it for a formula"
    if any(unicodedata.category(character) == "Cf" for character in name):
        return "the case name holds invisible characters"
    return ""
