"""Find the cases of a cohort, whatever its layout."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

from utad_monai.data.layouts.bids import DERIVATIVES
from utad_monai.data.layouts.brats import BRATS_LAYOUTS
from utad_monai.data.layouts.case import LEAVES, REMEDY, SEGMENTATION, Case, Claim, Containment
from utad_monai.data.layouts.cohort_labels import said_for_cohort, with_label_sets
from utad_monai.data.layouts.evidence import with_evidence
from utad_monai.data.layouts.label_sets import DATASET_FILE
from utad_monai.data.layouts.msd import MSD_TASK01, contradiction, msd_claims
from utad_monai.data.layouts.patient import PATIENTS_FILE, joined_patients, read_patients
from utad_monai.data.layouts.registry import named_claims
from utad_monai.data.layouts.table import TABLE_FILE, read_case_table, table_of
from utad_monai.data.layouts.unclaimed import unclaimed_warnings, with_unclaimed
from utad_monai.data.quality.case_name import folded_name, name_error
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind
from utad_monai.keys import FOUR_MODALITIES, Modality, ModalitySet

_NIFTI = (".nii", ".nii.gz")
_MAX_DEPTH = 4
"""Levels of folders that are searched, the cohort's root among them: HGG/LGG, case, and some room."""
_DERIVATIVES_DEPTH = 5
"""Levels from `derivatives` on: pipeline, subject, session, anat."""
_DEEPER = 3
"""Levels below these in which images are looked for that belong to a case, and no layout takes: `DICOM/T1/301`."""


@dataclass(frozen=True)
class FoundCohort:
    """What was found below a folder.

    Attributes:
        cases: cases that can be told apart, sorted by name; their images were not opened.
        problems: why other files are no case.
        warnings: images that no layout takes.
    """

    cases: tuple[Case, ...]
    problems: tuple[Finding, ...]
    _: KW_ONLY
    warnings: tuple[Finding, ...] = ()


def find_cases(dataset_dir: str | Path, modalities: ModalitySet = FOUR_MODALITIES) -> list[Case]:
    """Find every case of a cohort, sorted by name.

    Hidden files and the `._` copies of macOS are passed over.

    Args:
        dataset_dir: the cohort's root, or a CSV table of its cases.
        modalities: those that are looked for; none but a table knows more than the four.

    Raises:
        CohortError: when the folder is missing, holds no case, or holds files whose case cannot be told; with every
            such problem.
    """
    found = look_for_cases(dataset_dir, modalities)
    if found.problems:
        raise CohortError(found.problems)
    return list(found.cases)


def look_for_cases(
    dataset_dir: str | Path, modalities: ModalitySet = FOUR_MODALITIES, label_set: str | Path = ""
) -> FoundCohort:
    """Find every case that can be told, and report the files of which it cannot.

    Segmentations whose label set cannot be told are a problem, and their cases are found without them.

    Args:
        dataset_dir: the cohort's root, or a CSV table of its cases.
        modalities: those that are looked for; none but a table knows more than the four.
        label_set: what its segmentations mean, a name of `LABEL_SETS` or a file; what the cohort itself says when
            empty.

    Raises:
        CohortError: when the folder or table cannot be read, there is neither a case nor a problem, or the label set
            is none.
    """
    root = Path(dataset_dir)
    table = table_of(root)
    inside = Containment(table.parent if table else root)
    if table and table != root and inside.leaves(table):
        raise CohortError.of(table, LEAVES, REMEDY)
    folder = table.parent if table else root
    said = said_for_cohort(folder, label_set, inside)
    if table:
        cases, problems = read_case_table(table, inside, modalities)
        files = _beside(cases)
    else:
        cases, problems, files = _cases_below(root, inside, modalities, labels_are_said=said is not None)
    cases = _of_patients(cases, {} if table else _listed_patients(root, inside))
    cases, unsafe = _without_unsafe_names(cases)
    cases, collisions = _without_collisions(sorted(cases, key=lambda case: case.case_id))
    cases, unlabelled = with_label_sets(cases, folder, said, inside)
    problems = [*problems, *unsafe, *collisions, *unlabelled]
    if not cases and not problems:
        names = "; ".join(f"<case>/<case>{lay.separator}{lay.names[Modality.T1]}.nii.gz" for lay in BRATS_LAYOUTS)
        expected = f"{names}; imagesTr/<case>.nii.gz (4-D); sub-<name>/anat/sub-<name>_T1w.nii.gz; or a {TABLE_FILE}"
        raise CohortError.of(root, "holds no case: no file name was recognised", f"expected names such as {expected}")
    cases, others = with_unclaimed(cases, files, folder, inside, table=table is not None)
    warnings = [*(warning for case in cases for warning in unclaimed_warnings(case)), *others]
    return FoundCohort(tuple(cases), tuple(problems), warnings=tuple(warnings))


def _listed_patients(root: Path, inside: Containment) -> Mapping[str, str]:
    path = root / PATIENTS_FILE
    if inside.leaves(path):
        raise CohortError.of(path, LEAVES, REMEDY)
    return read_patients(path) if path.is_file() else {}


def _of_patients(cases: list[Case], listed: Mapping[str, str]) -> list[Case]:
    """Give cases the patients of a list, where it has them; spellings of one name are one patient."""
    patients = joined_patients({case.case_id: listed.get(case.case_id, case.patient_id) for case in cases})
    return [replace(case, patient_id=patients[case.case_id]) for case in cases]


def _beside(cases: Iterable[Case]) -> list[Path]:
    """Return the files in the folders of the cases of a table that the table does not name."""
    named = {path for case in cases for path in case.files}
    folders = sorted({path.parent for path in named})
    beside = (path for folder in folders if os.access(folder, os.R_OK) for path in sorted(folder.iterdir()))
    return [path for path in beside if path not in named and not path.name.startswith(".")]


def _cases_below(
    root: Path, inside: Containment, modalities: ModalitySet, labels_are_said: bool
) -> tuple[list[Case], list[Finding], list[Path]]:
    """Return the cases below a folder, why others are none, and the files that no layout takes."""
    if not root.is_dir():
        raise CohortError.of(root, "is not a folder: no cohort found", "give the folder that holds the cases")
    grouped: dict[tuple[Path, str, str], list[Claim]] = defaultdict(list)
    problems: list[Finding] = []
    unclaimed: list[Path] = []
    for path, depth in _files(root, _MAX_DEPTH, inside, problems):
        claims = list(_claims(path, root)) if depth > 0 and path.name.endswith(_NIFTI) else []
        for claim in claims:
            grouped[claim.dataset, claim.layout.name, claim.case_id].append(with_evidence(claim, root, inside))
        unclaimed.extend([] if claims else [path])
    # a segmentation alone is no case: two layouts may claim one, and only one of them has its images
    grouped = {key: claims for key, claims in grouped.items() if any(claim.part in modalities for claim in claims)}
    contradictions = [p for task in _tasks(grouped.values()) if (p := _contradiction(task, inside, labels_are_said))]
    problems.extend(contradictions)
    refused = {problem.file.parent for problem in contradictions if problem.file}
    cases = []
    for (dataset, layout, _), claims in grouped.items():
        wrong = [*_twice(claims), *_outside(claims, inside), *_doubtful(claims)]
        problems.extend(wrong)
        if not wrong and not (layout == MSD_TASK01.name and dataset in refused):
            cases.append(_case(claims, modalities))
    return cases, problems, unclaimed


def _files(folder: Path, depth: int, inside: Containment, problems: list[Finding]) -> Iterator[tuple[Path, int]]:
    """Yield the files below a folder, and how many levels of folders would still be searched there: 0 is too deep.

    A linked folder outside the cohort is a problem, and not looked into.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        problem = Finding.error("", folder, f"cannot be read ({error.strerror})", "check its permission")
        if depth == _MAX_DEPTH:
            raise CohortError([problem]) from error
        problems.extend([problem] if depth > 0 else [])
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        if entry.name.endswith(_NIFTI) or not path.is_dir():  # unlike the entry's own, it survives links in circles
            yield path, depth
        elif depth > 1 - _DEEPER:
            if entry.is_symlink() and (depth <= 1 or inside.leaves(path)):
                problems.extend([Finding.error("", path, LEAVES, REMEDY)] if depth > 1 else [])
                continue
            # once in a path: links in circles must come to an end
            first_derivatives = entry.name == DERIVATIVES and DERIVATIVES not in folder.parts
            yield from _files(path, _DERIVATIVES_DEPTH if first_derivatives else depth - 1, inside, problems)


def _claims(path: Path, root: Path) -> Iterator[Claim]:
    """Yield what the layouts say of a file; a folder called imagesTr says nothing of files that name themselves."""
    yield from named_claims(path, root) or msd_claims(path)


def _tasks(groups: Iterable[list[Claim]]) -> list[Path]:
    claims = (claims[0] for claims in groups)
    return list(dict.fromkeys(claim.dataset for claim in claims if claim.layout is MSD_TASK01))


def _twice(claims: list[Claim]) -> Iterator[Finding]:
    """Yield a problem for each file that claims a place that another file has."""
    first: dict[str, Claim] = {}
    for claim in claims:
        other = first.setdefault(claim.part, claim)
        if other is not claim:
            also = other.path.relative_to(claim.dataset)
            reason = f"{claim.part} of this case is there twice, also as {also}"
            remedy = f"keep one of them, or name the one to use in a {TABLE_FILE}"
            yield Finding.error(claim.case_id, claim.path, reason, remedy)


def _doubtful(claims: list[Claim]) -> Iterator[Finding]:
    """Yield a problem for each file that may be something else than its layout says."""
    remedy = f"rename it or mend its sidecar, or say in a {TABLE_FILE} what it is"
    for claim in claims:
        if claim.doubt:
            yield Finding.error(claim.case_id, claim.path, claim.doubt, remedy, FindingKind.MODALITY_MIX_UP)


def _outside(claims: list[Claim], inside: Containment) -> Iterator[Finding]:
    """Yield a problem for each file of a case that lies outside the cohort."""
    for path in dict.fromkeys(claim.path for claim in claims):
        if inside.leaves(path):
            yield Finding.error(claims[0].case_id, path, LEAVES, REMEDY)


def _contradiction(task: Path, inside: Containment, labels_are_said: bool) -> Finding | None:
    if inside.leaves(task / DATASET_FILE):
        return Finding.error("", task / DATASET_FILE, LEAVES, REMEDY)
    return contradiction(task, labels_are_said)


def _case(claims: list[Claim], modalities: ModalitySet) -> Case:
    files = {claim.part: claim.path for claim in claims}
    images = {modality: files[modality] for modality in modalities if modality in files}
    any_claim = claims[0]
    segmentation = files.get(SEGMENTATION)
    return Case(
        any_claim.case_id,
        any_claim.patient_id,
        images=images,
        segmentation=segmentation,
        layout=any_claim.layout,
        modalities=modalities,
    )


def _without_unsafe_names(cases: list[Case]) -> tuple[list[Case], list[Finding]]:
    """Leave out cases whose names cannot be file names, table cells and log lines."""
    problems = [
        Finding.error("", case.files[0].parent, error, "rename the case", FindingKind.NAME)
        for case in cases
        if (error := name_error(case.case_id))
    ]
    return [case for case in cases if not name_error(case.case_id)], problems


def _without_collisions(cases: list[Case]) -> tuple[list[Case], list[Finding]]:
    """Leave out cases whose names are the same on a file system that ignores case, or how accents are composed."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[folded_name(case.case_id)].append(case)
    problems = []
    for group in groups.values():
        for number, case in enumerate(group if len(group) > 1 else ()):
            other = group[1 if number == 0 else 0]
            reason = f"duplicate case name: it collides with {other.case_id} in {other.files[0].parent}"
            folder, remedy = case.files[0].parent, "rename one of them"
            problems.append(Finding.error(case.case_id, folder, reason, remedy, FindingKind.NAME))
    return [group[0] for group in groups.values() if len(group) == 1], problems
