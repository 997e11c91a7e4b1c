"""What the raw segmentations of a cohort mean, and in which label values they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import SimpleITK as sitk  # noqa: N813
import torch
from torch import Tensor

from utad_monai.apps.prepare.raw_cases import RawCase
from utad_monai.apps.prepare.raw_images import RawFormat, read_raw_image
from utad_monai.data.layouts.brats import brats_claims
from utad_monai.data.layouts.case import SEGMENTATION
from utad_monai.data.layouts.cohort_labels import label_voices, said_by_name, said_for_cohort
from utad_monai.data.layouts.label_choice import AskedLabels, LabelChoice, choose_label_sets
from utad_monai.data.layouts.label_sets import (
    BRATS_2017_TO_2021_LABELS,
    SAY_THE_LABEL_SET,
    LabelSet,
    label_set_of_sidecar,
)
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind
from utad_monai.data.sequences import RawRole
from utad_monai.transforms import InvalidImageError


def with_label_sets(cases: Sequence[RawCase], raw: Path, label_set: str | Path = "") -> list[RawCase]:
    """Return raw cases with the label sets of their segmentations; one that cannot be told is a problem of its case.

    Args:
        cases: of one cohort.
        raw: its folder or table.
        label_set: what the user says of all of them; what the cohort says when empty.

    Raises:
        CohortError: when what the user says is no label set.
    """
    folder = raw if raw.is_dir() else raw.parent
    said = said_for_cohort(folder, label_set)
    problems: dict[str, Finding] = {}
    segmented = {case.case_id: case for case in cases if RawRole.SEGMENTATION in case.sources and not case.problems}
    asked = [_asked(case, folder, said, problems) for case in segmented.values()]
    chosen, questions = choose_label_sets(
        [one for one in asked if one.case_id not in problems], lambda one: _voxels(segmented[one.case_id])
    )
    for question in questions:
        for name in question.case_ids:
            path, kind = segmented[name].sources[RawRole.SEGMENTATION].path, FindingKind.SEGMENTATION
            problems[name] = Finding.error(name, path, question.text, SAY_THE_LABEL_SET, kind)
    return [_told(case, chosen, problems) if segmented.get(case.case_id) is case else case for case in cases]


def _told(case: RawCase, chosen: Mapping[str, LabelChoice], problems: Mapping[str, Finding]) -> RawCase:
    if case.case_id in problems:
        return replace(case, problems=(*case.problems, problems[case.case_id]))
    return replace(case, labels=chosen.get(case.case_id))


def _asked(case: RawCase, folder: Path, said: LabelChoice | None, problems: dict[str, Finding]) -> AskedLabels:
    source = case.sources[RawRole.SEGMENTATION]
    path = source.path
    try:
        beside = None if said or source.format is RawFormat.DICOM else label_set_of_sidecar(path)
    except CohortError as error:
        problems[case.case_id] = replace(error.problems[0], case_id=case.case_id)
        beside = None
    layouts = [claim.layout for claim in brats_claims(path, folder) if claim.part == SEGMENTATION]
    voices = label_voices((case.case_id, path.name), layouts[0] if layouts else None)
    alone = said or (LabelChoice(beside, "the sidecar of the segmentation") if beside else said_by_name(voices))
    return AskedLabels(case.case_id, path, said=alone, voices=() if alone else voices)


def _voxels(case: RawCase) -> Tensor | None:
    try:
        image = read_raw_image(case.sources[RawRole.SEGMENTATION]).image
    except InvalidImageError:
        return None
    return torch.from_numpy(sitk.GetArrayFromImage(image))


def written_label_set(found: LabelSet) -> LabelSet:
    """Return the set in which a segmentation is written: that of the file names, where it has a value for everything.

    Cavities, cysts and what is ignored keep their values, and all others with them.
    """
    known = set(BRATS_2017_TO_2021_LABELS.words.values())
    return BRATS_2017_TO_2021_LABELS if set(found.words.values()) <= known else found


def written_values(found: LabelSet) -> dict[int, int]:
    """Return what each value of a segmentation is written as."""
    written = written_label_set(found)
    if written is found:
        return {value: value for value in found.words}
    values = {word: value for value, word in written.words.items()}
    return {value: values[word] for value, word in found.words.items()}
