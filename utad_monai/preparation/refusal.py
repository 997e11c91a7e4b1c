"""The error that ends one case and no other."""

from __future__ import annotations


class RefusedCaseError(ValueError):
    """A case that cannot be prepared, for a reason that is not one damaged file.

    Args:
        reason: what is wrong, in a few words.
        remedy: what the user can do about it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{reason}; {remedy}")
