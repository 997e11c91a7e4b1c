"""A cohort ready for training and evaluation: found, split by patient, and prepared as slices."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path

from utad_monai.data.complete import EvaluationCases
from utad_monai.data.layouts import Case, look_for_cases
from utad_monai.data.layouts.label_sets import LABEL_SET_KEY, said_label_set
from utad_monai.data.layouts.patient import joined_patients
from utad_monai.data.preprocessing import Preprocessing
from utad_monai.data.quality.finding import SPLIT_FILE, CohortError, settle
from utad_monai.data.quality.mix_up import cases_with_equal_voxels
from utad_monai.data.slice_store import SlicedCase, SliceStore, prepare_sound_slices
from utad_monai.data.split import keep_split, read_split
from utad_monai.keys import OnBadCase, Split
from utad_monai.runtime.console import counted
from utad_monai.runtime.files import write_json

_NAMED = 5

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedCohort:
    """The slices of a cohort and the split of its cases.

    Attributes:
        store: all prepared slices.
        split: the split of each case.
        found: the files of each case; empty where they are not known.
    """

    store: SliceStore
    split: dict[str, Split]
    _: KW_ONLY
    found: Mapping[str, Case] = field(default_factory=dict)

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
    label_set: str | Path = "",
) -> PreparedCohort:
    """Find, split and prepare a cohort; what is in `output_dir` from an earlier run is reused.

    The split covers bad cases too: it stays the same when they are skipped, and when they are mended. Cases with an
    image of the same voxels are of one patient.

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
        label_set: what segmentations mean, as in `look_for_cases`; kept in `output_dir`, for later stages and reports.

    Raises:
        CohortError: with every problem of the cohort, one line each.
        ValueError: for an unknown `on_bad_case`.
    """
    policy = OnBadCase(on_bad_case)
    found = look_for_cases(dataset_dir, preprocessing.modalities, _kept_label_set(output_dir, label_set))
    cases = list(found.cases)
    if not cases:
        raise CohortError(found.problems)
    _logger.info("%s", describe(cases, dataset_dir))
    for warning in found.warnings:
        _logger.warning("%s", warning)
    _name_unsegmented(cases)
    if (Path(output_dir) / SPLIT_FILE).exists():
        read_split(Path(output_dir) / SPLIT_FILE, cases)  # what is wrong with it is said before the work
    store, problems = prepare_sound_slices(cases, preprocessing, Path(output_dir) / "slices", workers, progress)
    cases = _with_copies_joined(cases, store)
    split = keep_split(cases, output_dir, validation_fraction, test_fraction, seed)
    settle([*found.problems, *problems], policy, output_dir, len(store.cases))
    by_name = {case.case_id: case for case in cases}
    cohort = PreparedCohort(_of_patients(store, cases), split, found=by_name)
    if not cohort.cases(Split.TRAIN, with_segmentation=True):
        reason = "leaves no training case with a segmentation"
        raise CohortError.of(Path(output_dir) / SPLIT_FILE, reason, "add cases with segmentations, or edit the split")
    return cohort


def _with_copies_joined(cases: list[Case], store: SliceStore) -> list[Case]:
    """Take cases that share an image for one patient, whatever their names: a split must not tear them."""
    sound = [case for case in cases if case.case_id in store.cases]
    groups = cases_with_equal_voxels((case, store.cases[case.case_id].digests) for case in sound)
    before = {case.case_id: case.patient_id for case in cases}
    patients = joined_patients(before, groups)
    for group in dict.fromkeys(tuple(group) for group in groups):
        if len({before[name] for name in group}) > 1:
            names = ", ".join(group[:_NAMED]) + (", ..." if len(group) > _NAMED else "")
            _logger.warning("%s have images of the same voxels: taken for one patient, %s", names, patients[group[0]])
    return [replace(case, patient_id=patients[case.case_id]) for case in cases]


def _of_patients(store: SliceStore, cases: list[Case]) -> SliceStore:
    sliced = [replace(store.cases[c.case_id], patient_id=c.patient_id) for c in cases if c.case_id in store.cases]
    return SliceStore(sliced, store.preprocessing)


def _kept_label_set(output_dir: str | Path, label_set: str | Path) -> str | Path:
    """Keep what the user says of labels in the folder of the run; where nothing is said, return what was kept."""
    kept = Path(output_dir) / f"{LABEL_SET_KEY}.json"
    if not label_set:
        return kept if kept.is_file() else ""
    write_json(kept, said_label_set(label_set).as_data())
    return label_set


def _name_unsegmented(cases: list[Case]) -> None:
    without = [case.case_id for case in cases if case.segmentation is None]
    if without:
        more = ", ..." if len(without) > _NAMED else ""
        names = ", ".join(without[:_NAMED]) + more
        miss = "misses a segmentation (seg) and does" if len(without) == 1 else "miss a segmentation (seg) and do"
        _logger.warning("%s %s not train: %s", counted(len(without), "case"), miss, names)


def describe(cases: list[Case], dataset_dir: str | Path) -> str:
    """Return one line: layouts with their mappings, cases, patients, and how many cases have each modality."""
    layouts = ", ".join(sorted({case.layout.described(case.label_set) for case in cases}))
    counts = Counter(modality for case in cases for modality in case.images)
    modalities = ", ".join(f"{modality} {counts[modality]}" for modality in cases[0].modalities)
    segmented = sum(case.segmentation is not None for case in cases)
    patients = len({case.patient_id for case in cases})
    counts_in_words = f"{counted(len(cases), 'case')} of {counted(patients, 'patient')}"
    return f"{dataset_dir}: {layouts}, {counts_in_words} ({modalities}, seg {segmented})"
