"""What intensities a cohort has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transforms import BACKGROUND
from utad_monai.data.slices import PreparedCase, SliceStore
from utad_monai.keys import Modality


def mean_brain_intensities(store: SliceStore, cases: Sequence[PreparedCase]) -> dict[Modality, float]:
    """Return the mean normalised brain intensity of each modality, in [-1, 1]; modalities no case has are left out.

    Args:
        store: prepared slices.
        cases: cases to average over, each counting the same.
    """
    means: dict[Modality, list[float]] = {modality: [] for modality in Modality}
    for case in cases:
        for modality in case.modalities:
            slices = np.asarray(store.image(case.case_id, modality), dtype=np.float32)
            means[modality].append(float(slices[slices > BACKGROUND].mean()))
    return {modality: float(np.mean(values)) for modality, values in means.items() if values}
