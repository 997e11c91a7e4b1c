"""Complete cases: all modalities and the segmentation, for the segmentation network and for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from utad_monai.data.layouts import Case, look_for_cases
from utad_monai.data.quality.finding import SPLIT_FILE, CohortError, empty_split
from utad_monai.data.slice_store import SlicedCase, SliceStore
from utad_monai.data.split import read_split
from utad_monai.keys import FOUR_MODALITIES, BatchKey, Modality, ModalitySet, OnBadCase, Split
from utad_monai.runtime.files import digest
from utad_monai.runtime.random_state import random_transforms, restore_transform_state, transform_state
from utad_monai.transforms import LabelsToTumourRegions, RandDropModalitiesd


class CompleteSlices(Dataset[dict[str, Any]]):
    """Slices of complete cases with their tumour regions: supervised training of the segmentation network.

    Args:
        store: prepared slices.
        cases: complete cases.
        min_brain_fraction: slices with a smaller share of brain pixels are left out.
        transform: applied to every sample, for instance a random flip of MONAI.
        modalities: channels of the image.

    Raises:
        CohortError: when there is no slice.
    """

    def __init__(
        self,
        store: SliceStore,
        cases: Sequence[SlicedCase],
        *,
        min_brain_fraction: float = 0.02,
        transform: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        modalities: Sequence[Modality | str] = FOUR_MODALITIES,
    ) -> None:
        self.store = store
        self.transform = transform
        self.modalities = tuple(map(Modality.named, modalities))
        pixels = max(1.0, min_brain_fraction * float(np.prod(store.preprocessing.image_size)))
        self.slices = [
            (case.case_id, place)
            for case in cases
            for place, brain_pixels in enumerate(case.brain_pixels)
            if brain_pixels >= pixels
        ]
        if not self.slices:
            raise empty_split(f"case with {', '.join(self.modalities)} and a segmentation to train or validate on")

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self.slices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return image `(C, H, W)` float32 in [-1, 1] and label `(3, H, W)` in {0, 1} (`TumourRegion` order)."""
        case_id, place = self.slices[index]
        images = [self.store.image(case_id, modality)[place] for modality in self.modalities]
        labels = torch.from_numpy(self.store.labels(case_id)[place].copy())
        sample: dict[str, Any] = {
            BatchKey.IMAGE: torch.from_numpy(np.stack(images).astype(np.float32)),
            BatchKey.LABEL: LabelsToTumourRegions()(labels[None]),
            BatchKey.CASE_ID: case_id,
            BatchKey.SLICE_INDEX: place,
        }
        # not `if self.transform`: the length of a MONAI Compose makes a new one, which seeds the same transforms again
        return sample if self.transform is None else self.transform(sample)

    def state_dict(self) -> dict[str, Any]:
        """Return the random states of the transforms."""
        return {"transforms": transform_state(self.transform)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the random states of the transforms."""
        restore_transform_state(self.transform, state_dict["transforms"])

    def identity(self) -> dict[str, Any]:
        """Return what decides the samples, as plain data (`utad_monai.handlers.resume.state`)."""
        dropped = [one.prob for one in random_transforms(self.transform) if isinstance(one, RandDropModalitiesd)]
        return {
            "modalities": list(map(str, self.modalities)),
            "training slices (hash)": digest(self.slices),
        } | ({"modality_dropout": dropped} if dropped else {})


class EvaluationCases(Dataset[dict[str, Any]]):
    """Whole cases for evaluation: every slice of every available modality.

    Args:
        store: prepared slices.
        cases: cases to evaluate.
    """

    def __init__(self, store: SliceStore, cases: Sequence[SlicedCase]) -> None:
        self.store = store
        self.cases = list(cases)

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self.cases)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one case.

        `case_id`, `image` (modality to `(Z, H, W)` float32 in [-1, 1]), `label` `(3, Z, H, W)` or None, `spacing_mm`.
        """
        case = self.cases[index]
        return {
            BatchKey.CASE_ID: case.case_id,
            BatchKey.IMAGE: {modality: self._image(case, modality) for modality in case.modalities},
            BatchKey.LABEL: self._label(case),
            BatchKey.SPACING_MM: (case.slice_mm, *self.store.preprocessing.pixel_mm),
        }

    def _image(self, case: SlicedCase, modality: Modality) -> Tensor:
        return torch.from_numpy(self.store.image(case.case_id, modality).astype(np.float32))

    def _label(self, case: SlicedCase) -> Tensor | None:
        if case.tumour_pixels is None:
            return None
        return LabelsToTumourRegions()(torch.from_numpy(self.store.labels(case.case_id).copy())[None])


def single_case(batch: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Collate one case as it is: cases differ in their number of slices."""
    (case,) = batch
    return case


class InferenceCases(Dataset[Case]):
    """Every case of a folder, or those of one split.

    Args:
        dataset_dir: root of the cohort, or one case's folder.
        split: a split's name; empty for all cases.
        output_dir: folder with the `split.csv` of the training run; needed with `split`.
        case_ids: names of the only cases to look at; empty for all.
        on_bad_case: whether files of which the case cannot be told stop everything (`refuse`) or are left out (`skip`).
        modalities: those that a case should have.
        label_set: what segmentations mean, as in `look_for_cases`.

    Attributes:
        cases: what is looked at.
        problems: what was left out, and why.

    Raises:
        CohortError: when there is no such cohort, case or split.
    """

    def __init__(
        self,
        dataset_dir: str | Path,
        split: Split | str = "",
        *,
        output_dir: str | Path = "",
        case_ids: Sequence[str] = (),
        on_bad_case: OnBadCase | str = OnBadCase.REFUSE,
        modalities: ModalitySet = FOUR_MODALITIES,
        label_set: str | Path = "",
    ) -> None:
        found = look_for_cases(dataset_dir, modalities, label_set)
        cases, self.problems = list(found.cases), found.problems
        if self.problems and (OnBadCase(on_bad_case) is OnBadCase.REFUSE or not cases):
            raise CohortError(self.problems)
        if split:
            assigned = read_split(Path(output_dir) / SPLIT_FILE, cases)
            cases = [case for case in cases if assigned[case.case_id] is Split(split)]
        if case_ids:
            _refuse_unknown(dataset_dir, case_ids, cases)
            cases = [case for case in cases if case.case_id in case_ids]
        if not cases:
            raise empty_split(f"{split} case")
        self.cases = cases

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self.cases)

    def __getitem__(self, index: int) -> Case:
        """Return one case; nothing is loaded yet."""
        return self.cases[index]


def _refuse_unknown(dataset_dir: str | Path, case_ids: Sequence[str], cases: Sequence[Case]) -> None:
    unknown = sorted(set(case_ids) - {case.case_id for case in cases})
    if unknown:
        names = ", ".join(unknown)
        raise CohortError.of(dataset_dir, f"has no case {names}", "check the names")


def the_case(batch: Sequence[Case]) -> Case:
    """Collate one case as it is."""
    (case,) = batch
    return case
