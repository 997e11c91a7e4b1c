"""Real images to compare translations with where the validation cases have none: those of the training cases."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from utad_monai.data import EvaluationCases
from utad_monai.keys import BatchKey, Modality
from utad_monai.metrics.unpaired import appearance_features

_MOST = 16
"""Images of a modality that are looked at: their mean look changes little with more, and each costs time."""


class ReferenceImages:
    """The look of the training images of each modality, measured once, when it is first asked for.

    Args:
        cases: training cases with a segmentation.
        slice_step: every how many slices of a volume are used.
    """

    def __init__(self, cases: EvaluationCases, slice_step: int) -> None:
        self.cases = cases
        self.slice_step = slice_step
        self._looks: dict[Modality, list[Tensor]] = {}

    @property
    def case_ids(self) -> set[str]:
        """Names of the training cases."""
        return {case.case_id for case in self.cases.cases}

    def looks(self, modality: Modality) -> Sequence[Tensor]:
        """Return features `(F,)` of at most 16 images of a modality, spread evenly over the cases that have it."""
        if modality not in self._looks:
            places = [place for place, case in enumerate(self.cases.cases) if modality in case.modalities]
            self._looks[modality] = [self._look(place, modality) for place in places[:: -(-len(places) // _MOST) or 1]]
        return self._looks[modality]

    def _look(self, place: int, modality: Modality) -> Tensor:
        case = self.cases[place]
        mask = case[BatchKey.LABEL][0, :: self.slice_step]
        return appearance_features(case[BatchKey.IMAGE][modality][:: self.slice_step], mask)
