"""Problems of a cohort: collected, then reported all at once, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utad_monai.errors import InvalidImageError, UserError
from utad_monai.visible import visible

SPLIT_FILE = "split.csv"
"""Name of the split in an output folder."""


@dataclass(frozen=True)
class CohortProblem:
    """One problem of one case.

    Attributes:
        case_id: the case it belongs to; empty for the cohort as a whole.
        path: the file or folder.
        reason: what is wrong.
        remedy: what the user can do about it.
    """

    case_id: str
    path: Path
    reason: str
    remedy: str

    def __str__(self) -> str:
        """Return the one line that users read."""
        case = f"case {self.case_id}: " if self.case_id else ""
        return visible(f"{case}{self.path}: {self.reason}; {self.remedy}")

    @classmethod
    def of(cls, case_id: str, error: InvalidImageError) -> CohortProblem:
        """Turn the refusal of a file into a problem of its case."""
        return cls(case_id, error.path, error.reason, error.remedy)


class CohortError(UserError, ValueError):
    """A cohort that cannot be used as it is; its text has one line per problem.

    Args:
        problems: at least one.

    Attributes:
        problems: every problem.
        path: the file or folder of the first one.
    """

    def __init__(self, problems: Sequence[CohortProblem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(first.path, first.reason, first.remedy)

    def _line(self, path: str) -> str:  # noqa: ARG002  (every problem has its own)
        return "\n".join(str(problem) for problem in self.problems)


def empty_split(wanted: str) -> CohortError:
    """Return the error for a split that lacks what a stage needs, such as `validation case with a segmentation`."""
    problem = CohortProblem("", Path(SPLIT_FILE), f"there is no {wanted}", "add patients, or edit the split")
    return CohortError([problem])
