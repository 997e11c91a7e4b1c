"""A cohort ready for training and evaluation: found, split by patient, and prepared as slices."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from utad_monai.data.complete import EvaluationCases
from utad_monai.data.layouts import Case, look_for_cases
from utad_monai.data.preprocessing import Preprocessing
from utad_monai.data.quality.finding import SPLIT_FILE, CohortError, settle
from utad_monai.data.slice_store import SlicedCase, SliceStore, prepare_sound_slices
from utad_monai.data.split import keep_split
from utad_monai.keys import OnBadCase, Split

_NAMED = 5

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedCohort:
    """The slices of a cohort and the split of its cases.

    Attributes:
        store: all prepared slices.
        split: the split of each case.
    """

    store: SliceStore
    split: dict[str, Split]

    def cases(self, split: Split | str, with_segmentation: bool = False) -> list[SlicedCase]:
        """Return the cases of one split, by name; only those with a segmentation when asked."""
        wanted = Split(split)
        return [
            case
            for case_id, case in sorted(self.store.cases.items())
            if self.split[case_id] is wanted and not (with_segmentation and case.tumour_pixels is None)
        ]

    def complete_cases(self, split: Split | str) -> list[SlicedCase]:
        """Return the cases of one split that have all modalities and a segmentation."""
        every = len(self.store.preprocessing.modalities)
        return [case for case in self.cases(split, with_segmentation=True) if len(case.modalities) == every]

    def cases_to_score(self) -> list[SlicedCase]:
        """Return what checkpoints are chosen on: segmented validation cases, or training cases where there is none."""
        cases = self.cases(Split.VALIDATION, with_segmentation=True)
        if cases:
            return cases
        _logger.warning("no validation case has a segmentation: checkpoints are chosen on training cases")
        return self.cases(Split.TRAIN, with_segmentation=True)

    def reference_cases(self) -> EvaluationCases:
        """Return the segmented training cases: how modalities look that no validation case has."""
        return EvaluationCases(self.store, self.cases(Split.TRAIN, with_segmentation=True))


def prepare_cohort(
    dataset_dir: str | Path,
    output_dir: str | Path,
    preprocessing: Preprocessing,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
    on_bad_case: OnBadCase | str = OnBadCase.REFUSE,
) -> PreparedCohort:
    """Find, split and prepare a cohort; what is in `output_dir` from an earlier run is reused.

    The split covers bad cases too: it stays the same when they are skipped, and when they are mended.

    Args:
        dataset_dir: root of the cohort.
        output_dir: folder of the run; receives `split.csv`, the cache `slices/` and, when bad cases are skipped,
            `refused_cases.csv`.
        preprocessing: what the networks shall see.
        validation_fraction: share of patients for validation.
        test_fraction: share of patients for testing.
        seed: seed of the split.
        workers: threads that prepare slices, by default one per processor.
        progress: whether to show a progress bar.
        on_bad_case: whether bad cases stop everything (`refuse`) or are left out (`skip`).

    Raises:
        CohortError: with every problem of the cohort, one line each.
        ValueError: for an unknown `on_bad_case`.
    """
    policy = OnBadCase(on_bad_case)
    found = look_for_cases(dataset_dir, preprocessing.modalities)
    cases = list(found.cases)
    if not cases:
        raise CohortError(found.problems)
    _logger.info("%s", describe(cases, dataset_dir))
    for warning in found.warnings:
        _logger.warning("%s", warning)
    _name_unsegmented(cases)
    split = keep_split(cases, output_dir, validation_fraction, test_fraction, seed)
    store, problems = prepare_sound_slices(cases, preprocessing, Path(output_dir) / "slices", workers, progress)
    settle([*found.problems, *problems], policy, output_dir, len(store.cases))
    cohort = PreparedCohort(store, split)
    if not cohort.cases(Split.TRAIN, with_segmentation=True):
        reason = "leaves no training case with a segmentation"
        raise CohortError.of(Path(output_dir) / SPLIT_FILE, reason, "add cases with segmentations, or edit the split")
    return cohort


def _name_unsegmented(cases: list[Case]) -> None:
    without = [case.case_id for case in cases if case.segmentation is None]
    if without:
        more = ", ..." if len(without) > _NAMED else ""
        names = ", ".join(without[:_NAMED]) + more
        _logger.warning("%d cases miss a segmentation (seg) and do not train: %s", len(without), names)


def describe(cases: list[Case], dataset_dir: str | Path) -> str:
    """Return one line: layouts with their mappings, cases, patients, and how many cases have each modality."""
    layouts = ", ".join(sorted({case.layout.description for case in cases}))
    counts = Counter(modality for case in cases for modality in case.images)
    modalities = ", ".join(f"{modality} {counts[modality]}" for modality in cases[0].modalities)
    segmented = sum(case.segmentation is not None for case in cases)
    patients = len({case.patient_id for case in cases})
    return f"{dataset_dir}: {layouts}, {len(cases)} cases of {patients} patients ({modalities}, seg {segmented})"
