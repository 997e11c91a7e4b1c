"""Text from elsewhere on its way to a terminal or a log: what would act there is shown instead."""

from __future__ import annotations


def visible(text: str, keep: str = "") -> str:
    r"""Return a text in which everything that cannot be printed is written out, such as `\x1b`.

    A file's name must neither steer a terminal nor turn the reading direction.

    Args:
        text: anything, such as an error with the name of a file.
        keep: characters that are left as they are, such as a line's end.
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
