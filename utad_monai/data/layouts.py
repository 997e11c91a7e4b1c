"""Folder layouts of brain tumour cohorts, all read into the same `Case` record."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from utad_monai.data.problems import CohortError, CohortProblem
from utad_monai.keys import Modality

_MAX_DEPTH = 4
"""Folders below the cohort's root that are searched: HGG/LGG, case, and some room."""


@dataclass(frozen=True)
class Layout:
    """How a family of cohorts names its files.

    Attributes:
        name: shown to the user.
        separator: what stands between case name and modality.
        names: the file name's ending of each modality.
        enhancing_label: value of the enhancing tumour in segmentations.
        patient_pattern: regular expression whose first group is the patient in a case name; cases it does not match
            are patients of their own.
    """

    name: str
    separator: str
    names: Mapping[Modality, str]
    enhancing_label: int
    patient_pattern: str

    def patient_of(self, case_id: str) -> str:
        """Return the patient whom a case (one visit) belongs to."""
        match = re.match(self.patient_pattern, case_id)
        return match.group(1) if match else case_id


BRATS_2017_TO_2021 = Layout(
    name="BraTS 2017-2021",
    separator="_",
    names={Modality.FLAIR: "flair", Modality.T1: "t1", Modality.T1CE: "t1ce", Modality.T2: "t2"},
    enhancing_label=4,
    patient_pattern=r"(Brats1[78]_.+)_\d+$",
)
"""`<case>/<case>_{flair,t1,t1ce,t2,seg}.nii[.gz]`, in HGG/LGG folders until 2019; enhancing tumour is 4."""

BRATS_2023 = Layout(
    name="BraTS 2023 and later",
    separator="-",
    names={Modality.FLAIR: "t2f", Modality.T1: "t1n", Modality.T1CE: "t1c", Modality.T2: "t2w"},
    enhancing_label=3,
    patient_pattern=r"(BraTS-[A-Za-z]+-\d+)-\d+$",
)
"""`<case>/<case>-{t2f,t1n,t1c,t2w,seg}.nii[.gz]`; enhancing tumour is 3."""

LAYOUTS = (BRATS_2017_TO_2021, BRATS_2023)
_SEGMENTATION = "seg"


@dataclass(frozen=True)
class Case:
    """One visit of one patient, with whatever modalities there are.

    Attributes:
        case_id: name of the visit, unique in the cohort.
        patient_id: the patient; splits never separate a patient's visits.
        images: the file of each available modality, in `Modality` order.
        segmentation: the reference segmentation, if there is one.
        layout: the naming that was recognised.
    """

    case_id: str
    patient_id: str
    images: Mapping[Modality, Path]
    segmentation: Path | None
    layout: Layout

    @property
    def missing(self) -> tuple[Modality, ...]:
        """Modalities that this case lacks."""
        return tuple(modality for modality in Modality if modality not in self.images)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the case, images first."""
        return (*self.images.values(), *([self.segmentation] if self.segmentation else []))


def find_cases(dataset_dir: str | Path) -> list[Case]:
    """Find every case below a folder, sorted by name.

    Hidden files and the `._` copies of macOS are passed over.

    Args:
        dataset_dir: the cohort's root.

    Raises:
        CohortError: when the folder is missing, holds no case, or holds cases that cannot be told apart.
    """
    root = Path(dataset_dir)
    if not root.is_dir():
        raise _cohort_error(root, "is not a folder: no cohort found", "give the folder that holds the cases")
    grouped: dict[tuple[Path, str, str], list[tuple[str, Path]]] = defaultdict(list)
    for path in _nifti_files(root, _MAX_DEPTH):
        for layout, case_id, ending in _recognise(path.name):
            grouped[path.parent, layout.name, case_id].append((ending, path))
    cases = [_case(name, _layout(layout), files) for (_, layout, name), files in grouped.items()]
    if not any(case.images for case in cases):
        expected = "; ".join(f"<case>/<case>{lay.separator}{lay.names[Modality.T1]}.nii.gz" for lay in LAYOUTS)
        raise _cohort_error(root, "holds no case: no file name was recognised", f"expected names such as {expected}")
    _refuse_collisions(cases)
    return sorted((case for case in cases if case.images), key=lambda case: case.case_id)


def _nifti_files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise _cohort_error(folder, f"cannot be read ({error.strerror})", "check its permission") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.name.endswith((".nii", ".nii.gz")):
            yield Path(entry.path)
        elif depth > 1 and Path(entry.path).is_dir():  # unlike the entry's own, it survives links in circles
            yield from _nifti_files(Path(entry.path), depth - 1)


def _recognise(file_name: str) -> Iterator[tuple[Layout, str, str]]:
    """Yield the layout, case name and ending that a file name fits."""
    stem = re.sub(r"\.nii(\.gz)?$", "", file_name)
    for layout in LAYOUTS:
        case_id, separator, ending = stem.rpartition(layout.separator)
        if separator and case_id and ending in (*layout.names.values(), _SEGMENTATION):
            yield layout, case_id, ending


def _layout(name: str) -> Layout:
    return next(layout for layout in LAYOUTS if layout.name == name)


def _case(case_id: str, layout: Layout, files: Iterable[tuple[str, Path]]) -> Case:
    by_ending: dict[str, Path] = {}
    for ending, path in files:
        if ending in by_ending:
            raise CohortError(
                [CohortProblem(case_id, path, f"is there twice, also as {by_ending[ending].name}", "keep one of them")]
            )
        by_ending[ending] = path
    images = {modality: by_ending[name] for modality, name in layout.names.items() if name in by_ending}
    return Case(case_id, layout.patient_of(case_id), images, by_ending.get(_SEGMENTATION), layout)


def _refuse_collisions(cases: list[Case]) -> None:
    """Refuse case names that are the same on a file system that ignores upper and lower case."""
    seen: dict[str, Case] = {}
    problems = []
    for case in cases:
        other = seen.setdefault(case.case_id.casefold(), case)
        if other is not case:
            first = next(iter(other.files)).parent
            reason = f"duplicate case name: it collides with {other.case_id} in {first}"
            problems.append(CohortProblem(case.case_id, next(iter(case.files)).parent, reason, "rename one of them"))
    if problems:
        raise CohortError(problems)


def _cohort_error(path: Path, reason: str, remedy: str) -> CohortError:
    return CohortError([CohortProblem("", path, reason, remedy)])
