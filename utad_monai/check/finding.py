"""What a check finds: one record for each case, one for the cohort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from utad_monai.data.findings import Finding
from utad_monai.data.layouts import Case
from utad_monai.data.layouts.case import SEGMENTATION
from utad_monai.data.problems import CohortProblem
from utad_monai.keys import Modality


@dataclass(frozen=True)
class Grid:
    """The voxel grid of a case.

    Attributes:
        shape: voxels along x, y and z in LPS order.
        spacing_mm: voxel size in the same order, in mm.
        orientation: directions in which the stored voxel axes grow.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: str


@dataclass(frozen=True)
class CaseReport:
    """What is known of one case.

    Attributes:
        case: the case.
        grid: where its first readable volume lies; None when nothing could be read.
        problems: why it is refused; empty for a usable case.
        findings: what is doubtful about it.
        digests: hash of the voxels of each image that could be read and is not constant.
    """

    case: Case
    grid: Grid | None
    problems: tuple[CohortProblem, ...]
    findings: tuple[Finding, ...]
    digests: Mapping[Modality, str]

    @property
    def usable(self) -> bool:
        """Whether training and inference would take the case."""
        return not self.problems

    @property
    def parts(self) -> tuple[str, ...]:
        """The modalities that there are, and the segmentation."""
        return (*self.case.images, *([SEGMENTATION] if self.case.segmentation else []))


@dataclass(frozen=True)
class CohortReport:
    """What a cohort holds, and what is wrong with it.

    Attributes:
        root: the cohort's folder.
        cases: one report for each case that could be told.
        problems: files and folders that could not be assigned to a case.
        findings: warnings that concern several cases.
    """

    root: Path
    cases: tuple[CaseReport, ...]
    problems: tuple[CohortProblem, ...]
    findings: tuple[Finding, ...]

    @property
    def all_problems(self) -> tuple[CohortProblem, ...]:
        """Every problem, those of no case first."""
        return (*self.problems, *(problem for report in self.cases for problem in report.problems))

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        """Every warning, by case."""
        findings = (*(finding for report in self.cases for finding in report.findings), *self.findings)
        return tuple(sorted(findings, key=lambda finding: finding.case_id))

    @property
    def found(self) -> int:
        """Number of cases, usable or refused."""
        refused_at_once = {problem.case_id for problem in self.problems if problem.case_id}
        return len(self.cases) + len(refused_at_once - {report.case.case_id for report in self.cases})

    @property
    def usable(self) -> int:
        """Number of cases that training and inference would take."""
        return sum(report.usable for report in self.cases)

    @property
    def refused(self) -> int:
        """Number of cases that have a problem."""
        return self.found - self.usable

    @property
    def patients(self) -> int:
        """Number of patients of the cases that could be told."""
        return len({report.case.patient_id for report in self.cases})

    @property
    def patterns(self) -> list[tuple[tuple[str, ...], int]]:
        """Which modalities (and segmentation) occur together in how many cases, the most frequent first."""
        return Counter(report.parts for report in self.cases).most_common()

    @property
    def grids(self) -> list[tuple[Grid, int]]:
        """Which grids occur in how many cases, the most frequent first."""
        return Counter(report.grid for report in self.cases if report.grid).most_common()

    @property
    def exit_code(self) -> int:
        """0 when every case is usable, 2 when some are refused, 1 when none is usable."""
        if not self.usable:
            return 1
        return 2 if self.all_problems else 0

    def relative(self, path: Path) -> Path:
        """Return a path relative to the cohort's folder, when it lies inside."""
        return path.relative_to(self.root) if path.is_relative_to(self.root) else path
