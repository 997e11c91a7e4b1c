"""Text from elsewhere on its way to a terminal, a log or a table: what would act there is shown instead."""

from __future__ import annotations

import unicodedata

_HIDDEN = ("Cc", "Cs", "Zl", "Zp")
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that reverse the reading direction, so that a name reads as another."""


def visible(text: str, keep: str = "") -> str:
    r"""Return a text whose control characters and changes of direction are written out, such as `\x1b`.

    Args:
        text: anything, such as the name of a file.
        keep: characters that are left as they are, such as a line's end.
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if character not in keep and (unicodedata.category(character) in _HIDDEN or character in _TURNING)
        else character
        for character in text
    )
