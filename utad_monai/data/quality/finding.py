"""Warnings about a case that can be used all the same: one record each, by kind."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pandas

from utad_monai.errors import InvalidImageError, UserError
from utad_monai.keys import OnBadCase
from utad_monai.runtime.console import visible
from utad_monai.runtime.tables import write_table

_logger = logging.getLogger(__name__)


class FindingKind(StrEnum):
    """What a warning is about."""

    FILE = "file"
    """The file's header or values are unusual, but it can be used."""
    NAME = "name"
    """The case name may do harm in tables or on other disks."""
    INTENSITY = "intensity"
    """Saturated or vanishing intensities."""
    SEGMENTATION = "segmentation"
    """The segmentation is hardly one of a tumour in this brain."""
    NOT_SKULL_STRIPPED = "not_skull_stripped"
    """The foreground is more than a brain."""
    MODALITY_MIX_UP = "modality_mix_up"
    """Two images look as if their modalities were swapped."""
    DUPLICATE = "duplicate"
    """The voxels are those of another image."""


@dataclass(frozen=True)
class Finding:
    """A warning: something doubtful about a case that can be used all the same.

    Attributes:
        kind: what it is about.
        case_id: the case.
        file: the file it is about; None when it is the case as a whole.
        text: what was seen, and what to do about it.
    """

    kind: FindingKind
    case_id: str
    file: Path | None
    text: str

    def __str__(self) -> str:
        """Return the phrase that users read after the name of the case."""
        return f"{self.file}: {self.text}" if self.file else self.text


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


REFUSED_FILE = "refused_cases.csv"
"""Which cases a run went on without, and why: columns case, file, reason, remedy; in the output folder."""


def settle(problems: Sequence[CohortProblem], policy: OnBadCase, output_dir: str | Path, cases: int) -> None:
    """Stop because of the problems of a cohort, or go on without its bad cases and write down which they are.

    Args:
        problems: every problem of the cohort.
        policy: refuse or skip.
        output_dir: receives the table when cases are skipped; a table of an earlier run is replaced or removed.
        cases: number of sound cases that are left.

    Raises:
        CohortError: with every problem, when they are not to be skipped or no sound case is left.
    """
    table = Path(output_dir) / REFUSED_FILE
    if problems and (policy is OnBadCase.REFUSE or not cases):
        raise CohortError(problems)
    if policy is OnBadCase.REFUSE:
        table.unlink(missing_ok=True)
        return
    rows = [{"case": p.case_id, "file": str(p.path), "reason": p.reason, "remedy": p.remedy} for p in problems]
    write_table(table, pandas.DataFrame(rows, columns=["case", "file", "reason", "remedy"]))
    for problem in problems:
        _logger.warning("skipped: %s", problem)
    if problems:
        _logger.warning("going on with %d sound cases; %d problems are listed in %s", cases, len(problems), table)


def policy_of(output_dir: str | Path) -> OnBadCase:
    """Return how the run in an output folder dealt with bad cases, for whoever looks at its cohort again."""
    return OnBadCase.SKIP if (Path(output_dir) / REFUSED_FILE).is_file() else OnBadCase.REFUSE
