"""Give each segmented case of a cohort its label set, or ask which one it follows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from utad_monai.data.layouts.brats import BRATS_2017_TO_2021, BRATS_2023
from utad_monai.data.layouts.case import LEAVES, REMEDY, Case, Containment, Layout
from utad_monai.data.layouts.label_choice import AskedLabels, LabelChoice, choose_label_sets
from utad_monai.data.layouts.label_sets import (
    DATASET_FILE,
    MAX_LABEL_FILE_BYTES,
    MSD_LABELS,
    SAY_THE_LABEL_SET,
    LabelSet,
    label_set_file,
    label_set_of,
    label_set_of_name,
    label_set_of_sidecar,
    read_label_set,
    said_label_set,
    sidecar_of,
)
from utad_monai.data.layouts.msd import MSD_TASK01
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind
from utad_monai.runtime.workers import map_in_threads
from utad_monai.transforms import InvalidImageError, read_nifti


def said_for_cohort(folder: Path, label_set: str | Path = "", inside: Containment | None = None) -> LabelChoice | None:
    """Return what the user says of a whole cohort: a word or file that was given, or `label_set.json` in its folder.

    Args:
        folder: of the cohort.
        label_set: what the user gave, if anything.
        inside: which files may be read; all when None.

    Raises:
        CohortError: when it is no label set.
    """
    if label_set:
        return LabelChoice(said_label_set(label_set), "the option label_set")
    path = label_set_file(folder)
    if path is None:
        return None
    if inside and inside.leaves(path):
        raise CohortError.of(path, LEAVES, REMEDY)
    return LabelChoice(read_label_set(path), path.name)


def with_label_sets(
    cases: Sequence[Case], folder: Path, said: LabelChoice | None, inside: Containment
) -> tuple[list[Case], list[Finding]]:
    """Return the cases with the label sets of their segmentations; where they cannot be told, without segmentations.

    Args:
        cases: as they were found; what is said of one of them alone is kept.
        folder: of the cohort.
        said: what the user says of all others.
        inside: which files may be read.
    """
    problems: list[Finding] = []
    asked = [_asked(case, folder, said, inside, problems=problems) for case in cases if case.segmentation]
    unsound = {problem.case_id for problem in problems}
    chosen, questions = choose_label_sets(
        [one for one in asked if one.case_id not in unsound],
        _voxels,
        lambda look, jobs: map_in_threads(look, jobs, os.cpu_count() or 1),
    )
    for question in questions:
        alone = question.case_ids[0] if len(question.case_ids) == 1 else ""
        problems.append(Finding.error(alone, folder, question.text, SAY_THE_LABEL_SET, FindingKind.SEGMENTATION))
    return [_with_choice(case, chosen) if case.segmentation else case for case in cases], problems


def _with_choice(case: Case, chosen: dict[str, LabelChoice]) -> Case:
    found = chosen.get(case.case_id)
    return replace(case, labels_said=found) if found else replace(case, segmentation=None)


def _asked(
    case: Case, folder: Path, said: LabelChoice | None, inside: Containment, *, problems: list[Finding]
) -> AskedLabels:
    path = case.segmentation
    assert path is not None  # the caller asked
    try:
        alone = case.labels_said or said or _beside(path, inside) or _described(case, path, folder, inside)
    except CohortError as error:
        problems.extend(replace(problem, case_id=case.case_id) for problem in error.problems)
        return AskedLabels(case.case_id, path)
    if alone:
        return AskedLabels(case.case_id, path, said=alone)
    return AskedLabels(case.case_id, path, voices=_voices(case, path, folder))


def _beside(path: Path, inside: Containment) -> LabelChoice | None:
    found = None if inside.leaves(sidecar_of(path)) else label_set_of_sidecar(path)
    return LabelChoice(found, "the sidecar of the segmentation") if found else None


def _described(case: Case, path: Path, folder: Path, inside: Containment) -> LabelChoice | None:
    """Return what decides without a look at voxels: a dataset.json, a layout of one data set, or an official name."""
    task = case.layout is MSD_TASK01
    found = _names_of_dataset(path.parent.parent if task else folder, inside)
    agrees = found and all(found.words.get(value, word) is word for value, word in MSD_LABELS.words.items())
    if found and (agrees or not task):
        return LabelChoice(found, DATASET_FILE)
    if case.layout.label_set and not _by_ending(case):
        return LabelChoice(case.layout.label_set, f"the layout {case.layout.name}")
    return said_by_name(_voices(case, path, folder))


BY_NAME = "the case names"


def said_by_name(voices: tuple[LabelChoice, ...]) -> LabelChoice | None:
    """Return what an official name says, when nothing contradicts it."""
    return voices[0] if len(voices) == 1 and voices[0].because == BY_NAME else None


def label_voices(names: Iterable[str], layout: Layout | None) -> tuple[LabelChoice, ...]:
    """Return what official names and the ending of a file say, each reading once.

    Args:
        names: of the case, and of the file below the cohort's folder.
        layout: the layout whose ending it has, if any; the endings of 2023 are those of every later challenge, so that
            a name says more.
    """
    named = next((found for name in names if (found := label_set_of_name(name))), None)
    voices = [LabelChoice(named, BY_NAME)] if named else []
    own = layout.label_set if layout else None
    if layout and own and not (named and (layout is BRATS_2023 or named is own)):
        voices.append(LabelChoice(own, f"the layout {layout.name}"))
    return tuple(voices)


def _voices(case: Case, path: Path, folder: Path) -> tuple[LabelChoice, ...]:
    inside = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
    return label_voices((case.case_id, inside), case.layout)


def _by_ending(case: Case) -> bool:
    return case.layout in (BRATS_2017_TO_2021, BRATS_2023)


def _names_of_dataset(folder: Path, inside: Containment) -> LabelSet | None:
    """Return what the label names of a `dataset.json` mean; None where there is none, or none that is understood."""
    path = folder / DATASET_FILE
    try:
        if not path.is_file() or path.stat().st_size > MAX_LABEL_FILE_BYTES or inside.leaves(path):
            return None
        return label_set_of(json.loads(path.read_text(encoding="utf-8-sig"))["labels"], DATASET_FILE)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # what is wrong with it is told by the layout


def _voxels(asked: AskedLabels) -> Tensor | None:
    try:
        return torch.from_numpy(read_nifti(asked.path).array)
    except InvalidImageError:
        return None
