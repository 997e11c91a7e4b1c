"""What a check finds: one record for each case, one for the cohort."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path

from monai.data import MetaTensor

from utad_monai.data.case_volumes import load_volumes
from utad_monai.data.layouts import Case, look_for_cases
from utad_monai.data.layouts.case import SEGMENTATION
from utad_monai.data.layouts.label_choice import LabelChoice
from utad_monai.data.preprocessing import Preprocessing, normalise_case
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind, Severity, of_severity
from utad_monai.data.quality.mix_up import duplicates_across, mix_up_warnings, voxel_digests
from utad_monai.data.quality.soundness import case_warnings
from utad_monai.keys import Modality
from utad_monai.runtime.progress import progress_bar
from utad_monai.runtime.workers import map_in_threads
from utad_monai.transforms.load import ORIENTATION


@dataclass(frozen=True)
class CaseGrid:
    """The voxel grid of a case.

    Attributes:
        shape: voxels along x, y and z in LPS order.
        spacing_mm: voxel size in the same order, in mm.
        orientation: directions in which the stored voxel axes grow.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    _: KW_ONLY
    orientation: str


@dataclass(frozen=True)
class CaseReport:
    """What is known of one case.

    Attributes:
        case: the case.
        grid: where its first readable volume lies; None when nothing could be read.
        findings: the errors that refuse it, and the warnings.
        digests: hash of the voxels of each image that could be read and is not constant.
    """

    case: Case
    grid: CaseGrid | None
    _: KW_ONLY
    findings: tuple[Finding, ...]
    digests: Mapping[Modality, str]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The errors: why the case is refused."""
        return of_severity(Severity.ERROR, self.findings)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What somebody should look at."""
        return of_severity(Severity.WARNING, self.findings)

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
        findings: errors of files and folders that could not be assigned to a case, warnings about several cases.
    """

    root: Path
    cases: tuple[CaseReport, ...]
    _: KW_ONLY
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Every error, those of no case first."""
        found = (*self.findings, *(finding for report in self.cases for finding in report.findings))
        return of_severity(Severity.ERROR, found)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Every warning, by case."""
        found = (*(finding for report in self.cases for finding in report.findings), *self.findings)
        return tuple(sorted(of_severity(Severity.WARNING, found), key=lambda warning: warning.case_id))

    @property
    def found(self) -> int:
        """Number of cases, usable or refused."""
        refused_at_once = {each.case_id for each in of_severity(Severity.ERROR, self.findings) if each.case_id}
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
    def grids(self) -> list[tuple[CaseGrid, int]]:
        """Which grids occur in how many cases, the most frequent first."""
        return Counter(report.grid for report in self.cases if report.grid).most_common()

    @property
    def label_sets(self) -> list[tuple[LabelChoice, int]]:
        """Which label sets segmentations follow, who says so, and in how many cases, the most frequent first."""
        return Counter(each.case.label_choice for each in self.cases if each.case.label_choice).most_common()

    @property
    def exit_code(self) -> int:
        """0 when every case is usable, 2 when some are refused, 1 when none is usable."""
        if not self.usable:
            return 1
        return 2 if self.problems else 0

    def relative(self, path: Path) -> Path:
        """Return a path relative to the cohort's folder, when it lies inside."""
        return path.relative_to(self.root) if path.is_relative_to(self.root) else path


def check_case(case: Case, preprocessing: Preprocessing) -> CaseReport:
    """Load a case as training and inference do, and report its errors and warnings; nothing is raised."""
    try:
        return _check(case, preprocessing)
    except (ArithmeticError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        # one case must not end the check of all others, whatever it does to the libraries
        reason = f"could not be checked ({type(error).__name__}: {error})"
        problem = Finding.error(case.case_id, case.files[0], reason, "replace or re-export the case")
        return CaseReport(case, None, findings=(problem,), digests={})


def _check(case: Case, preprocessing: Preprocessing) -> CaseReport:
    volumes, problems = load_volumes(case)
    images = {modality: volumes[modality] for modality in case.images if modality in volumes}
    try:
        loaded = normalise_case(case, volumes, problems, preprocessing)
    except CohortError as error:
        findings = [*error.problems, *case_warnings(case, volumes)]
    else:
        findings = list(loaded.findings)
        if all(finding.kind is not FindingKind.NOT_SKULL_STRIPPED for finding in findings):
            findings.extend(mix_up_warnings(case, loaded.images))  # its signs are those of brains
    return CaseReport(case, _grid(volumes), findings=tuple(findings), digests=voxel_digests(images))


def _grid(volumes: Mapping[Modality | str, MetaTensor]) -> CaseGrid | None:
    for volume in volumes.values():
        x, y, z = volume.shape[1:]
        sizes = [round(float(size), 3) for size in volume.pixdim]
        return CaseGrid((x, y, z), (sizes[0], sizes[1], sizes[2]), orientation=str(volume.meta[ORIENTATION]))
    return None


def check_cohort(
    dataset_dir: str | Path,
    preprocessing: Preprocessing | None = None,
    workers: int | None = None,
    progress: bool = True,
    *,
    label_set: str | Path = "",
) -> CohortReport:
    """Find and check every case of a cohort; nothing is written, and no case stops the others.

    Args:
        dataset_dir: the cohort's root, or a CSV table of its cases.
        preprocessing: what would be done with the images; the default frame and percentiles when None.
        workers: cases that are checked at a time, by default one per processor; each holds one case in memory.
        progress: whether to show a progress bar on stderr.
        label_set: what segmentations mean: the name of a label set or a file; empty for what the cohort says.

    Returns:
        The report; a cohort that cannot be read at all is one without cases.
    """
    path = Path(dataset_dir)
    root = path.parent if path.is_file() else path
    try:
        found = look_for_cases(path, label_set=label_set)
    except CohortError as error:
        return CohortReport(root, (), findings=error.problems)
    check = partial(check_case, preprocessing=preprocessing or Preprocessing())
    results = map_in_threads(check, found.cases, workers or os.cpu_count() or 1)
    bar = progress_bar(results, "Checking", total=len(found.cases), unit="case", show=progress)
    reports = tuple(bar)
    copies = duplicates_across((report.case, report.digests) for report in reports)
    return CohortReport(root, reports, findings=(*found.problems, *found.warnings, *copies))
