"""Case names become folders, file names, table cells and log lines: the rule that tells which ones are safe."""

from __future__ import annotations

import unicodedata

MAX_NAME_BYTES = 200
"""Longest case name in UTF-8: file systems allow 255 bytes, and endings follow."""
_FORMULA_SIGNS = ("=", "+", "-", "@")
_NOT_ON_EVERY_DISK = frozenset('/\\:*?"<>|')


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


def name_error(name: str) -> str:
    """Return the phrase that refuses an unsafe case name; empty for a safe one."""
    return f"the case name {name!r} {reason}" if (reason := unsafe_name(name)) else ""


def folder_name_error(name: str) -> str:
    """Return why no folder is made for a raw case of this name; empty when one is.

    It is stricter than `unsafe_name`, because the folder may go to any disk.
    """
    if not name.isprintable() or _NOT_ON_EVERY_DISK & set(name):
        return "has a case name with characters that files cannot have"
    if not name or name != name.strip() or name.startswith("."):
        return "has an empty or hidden case name"
    return ""


def name_warning(name: str) -> str:
    """Return what is unusual about a case name, an unsafe one included; empty when nothing is."""
    if error := name_error(name):
        return error
    if name.startswith(_FORMULA_SIGNS):
        return f"the case name begins with the character {name[0]!r}: spreadsheets take it for a formula"
    if any(unicodedata.category(character) == "Cf" for character in name):
        return "the case name holds invisible characters"
    return ""


def folded_name(name: str) -> str:
    """Return what is the same for two names that some file systems take for one: case and accents are folded."""
    return unicodedata.normalize("NFC", name).casefold()
