"""What a check finds, as one record: an error refuses a case, a warning is about one that can be used all the same."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from enum import StrEnum
from pathlib import Path

import pandas

from utad_monai.errors import InvalidImageError, UserError
from utad_monai.keys import OnBadCase
from utad_monai.runtime.console import counted, visible
from utad_monai.runtime.files import write_table

_logger = logging.getLogger(__name__)


class Severity(StrEnum):
    """What a finding means for its case."""

    ERROR = "error"
    """The case, or the file, cannot be used."""
    WARNING = "warning"
    """It can be used, and somebody should look at it."""


class FindingKind(StrEnum):
    """What a finding is about."""

    FILE = "file"
    """A file or folder: whether it is there and can be read, its header, grid or values."""
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
    BRAIN = "brain"
    """The brain is of another size than brains are, or its mask is rough or missing."""
    UNLIKE_TRAINING = "unlike_training"
    """The model was trained on other images."""
    REGISTRATION = "registration"
    """An image may not lie where the others lie."""
    UNCLAIMED = "unclaimed"
    """An image that no layout takes lies in or beside a case."""
    COVERAGE = "coverage"
    """A part of the brain or of the tumour lies outside an image, the grid or the mask."""


@dataclass(frozen=True)
class Finding:
    """What was found about a case or a cohort.

    Attributes:
        severity: whether the case can be used all the same.
        kind: what it is about.
        case_id: the case; empty for a cohort as a whole, or for images that belong to none.
        file: the file or folder; None when it is the case as a whole.
        text: what was seen.
        remedy: what the user can do about it; empty where the text says so.
        private: what of it only the screen shows, such as days in DICOM headers.
    """

    severity: Severity
    kind: FindingKind
    _: KW_ONLY
    case_id: str
    file: Path | None
    text: str
    remedy: str = ""
    private: str = ""

    @classmethod
    def error(
        cls,
        case_id: str,
        file: Path | None,
        text: str,
        remedy: str,
        kind: FindingKind = FindingKind.FILE,
        *,
        private: str = "",
    ) -> Finding:
        """Return what refuses a case or a file."""
        return cls(Severity.ERROR, kind, case_id=case_id, file=file, text=text, remedy=remedy, private=private)

    @classmethod
    def warning(cls, kind: FindingKind, case_id: str, file: Path | None, text: str, remedy: str = "") -> Finding:
        """Return what somebody should look at."""
        return cls(Severity.WARNING, kind, case_id=case_id, file=file, text=text, remedy=remedy)

    @classmethod
    def of(cls, case_id: str, error: InvalidImageError) -> Finding:
        """Turn the error of a file into one of its case."""
        return cls.error(case_id, error.path, error.reason, error.remedy)

    @property
    def message(self) -> str:
        """What was seen, and what to do about it."""
        seen = f"{self.text} ({self.private})" if self.private else self.text
        return f"{seen}; {self.remedy}" if self.remedy else seen

    @property
    def public(self) -> Finding:
        """The finding without what only the screen shows."""
        return replace(self, private="")

    @property
    def phrase(self) -> str:
        """What users read after the name of the case."""
        return f"{self.file}: {self.message}" if self.file else self.message

    def __str__(self) -> str:
        """Return the one line that users read."""
        case = f"case {self.case_id}: " if self.case_id else ""
        return visible(case + self.phrase)


def of_severity(severity: Severity, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the errors, or the warnings, in the same order."""
    return tuple(finding for finding in findings if finding.severity is severity)


SPLIT_FILE = "split.csv"
"""Name of the split in an output folder."""


class CohortError(UserError, ValueError):
    """A cohort that cannot be used as it is; its text has one line per problem.

    Args:
        problems: the errors, at least one.

    Attributes:
        problems: every error.
        path: the file or folder of the first one.
    """

    def __init__(self, problems: Sequence[Finding]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(first.file or "", first.text, first.remedy)

    @classmethod
    def of(cls, path: str | Path, text: str, remedy: str) -> CohortError:
        """Return the error of a cohort as a whole."""
        return cls([Finding.error("", Path(path), text, remedy)])

    def _line(self, path: str) -> str:  # noqa: ARG002  (every problem has its own)
        return "\n".join(str(problem) for problem in self.problems)


def empty_split(wanted: str) -> CohortError:
    """Return the error for a split that lacks what a stage needs, such as `validation case with a segmentation`."""
    return CohortError.of(SPLIT_FILE, f"there is no {wanted}", "add patients, or edit the split")


REFUSED_FILE = "refused_cases.csv"
"""Which cases a run went on without, and why: columns case, file, reason, remedy; in the output folder."""


def settle(problems: Sequence[Finding], policy: OnBadCase, output_dir: str | Path, cases: int) -> None:
    """Stop because of the errors of a cohort, or go on without its bad cases and write down which they are.

    Args:
        problems: every error of the cohort.
        policy: refuse or skip.
        output_dir: receives the table when cases are skipped; a table of an earlier run is replaced or removed.
        cases: number of sound cases that are left.

    Raises:
        CohortError: with every error, when bad cases are not to be skipped or no sound case is left.
    """
    table = Path(output_dir) / REFUSED_FILE
    if problems and (policy is OnBadCase.REFUSE or not cases):
        raise CohortError(problems)
    if policy is OnBadCase.REFUSE:
        table.unlink(missing_ok=True)
        return
    rows = [{"case": p.case_id, "file": str(p.file or ""), "reason": p.text, "remedy": p.remedy} for p in problems]
    write_table(table, pandas.DataFrame(rows, columns=["case", "file", "reason", "remedy"]))
    for problem in problems:
        _logger.warning("skipped: %s", problem)
    if problems:
        sound, errors = counted(cases, "sound case"), counted(len(problems), "error")
        _logger.warning("continuing with %s; %s listed in %s", sound, errors, table)


def policy_of(output_dir: str | Path) -> OnBadCase:
    """Return how the run in an output folder dealt with bad cases, for whoever looks at its cohort again."""
    return OnBadCase.SKIP if (Path(output_dir) / REFUSED_FILE).is_file() else OnBadCase.REFUSE
