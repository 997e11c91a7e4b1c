"""Fit contrast maps: without pairs, through the mean brain of the other patients; or on pairs, and named so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch
from torch import Tensor

from utad_monai.contrast.atlas import (
    CaseIntensities,
    CohortAtlas,
    Flags,
    Floats,
    brain_positions,
    by_patient,
    case_intensities,
    cohort_atlas,
)
from utad_monai.contrast.maps import GRID, KNOTS, ContrastMaps, KnotMeans, histogram_matching, spread, stretched
from utad_monai.data.intensity import mean_brain_intensities
from utad_monai.data.slice_store import SlicedCase, SliceStore
from utad_monai.keys import ImageSource, Modality, ModalitySet, TumourRegion
from utad_monai.metrics.measures import BRAIN, HIGHER_IS_BETTER, column
from utad_monai.transforms import BACKGROUND

_logger = logging.getLogger(__name__)
SHARED_SPACE = 0.02
"""Brains lie on each other when the mean brain of the others tells so much of a modality's own contrast. Measured: 0.16
on BraTS; 0.03 with brains turned at random and moved by up to 62 mm, where maps still beat
histograms (docs/method.md)."""

Pair = tuple[Modality, Modality]


def fit_contrast_maps(store: SliceStore, cases: Sequence[SlicedCase], paired: bool = False) -> ContrastMaps:
    """Fit the map of every pair of modalities.

    Without pairs, the target of a voxel is the mean of the target modality over the **other** patients at the same
    place, averaged over voxels of the same source intensity, and stretched (`docs/method.md#contrast-maps`). A pair
    that nothing can be said of falls back to histogram matching, and so does a cohort whose brains do not lie on each
    other; the log says so. A modality that no case has is mapped to and from by the identity.

    Args:
        store: prepared slices.
        cases: training cases; any may lack modalities. They are read one at a time.
        paired: **uses pairs**: the target is that of the same patient, and nothing is stretched.
    """
    histograms = intensity_histograms(store, cases)
    if paired:
        return _paired_maps(store, cases, histograms)
    positions = brain_positions(cases)
    atlas = cohort_atlas(store, cases, positions)
    means = _means_through_atlas(store, cases, atlas)
    own = {m: _own_contrast(means[m, m], histograms[m]) for m in histograms if means[m, m].known}
    if not _share_a_space(list(own.values())):
        return _assembled(store.preprocessing.modalities, histograms, {}, {})
    usual = float(np.mean(list(own.values())))
    curves, agreement = {}, {}
    for source, target in permutations(store.preprocessing.modalities, 2):
        found = means[source, target]
        if found.known:
            curve = found.curve()
            agreement[source, target] = _agreement(atlas, curve, source, target)
            flattened = float(np.sqrt(own.get(source, usual) * own.get(target, usual)))
            gain = _gain(curve, flattened, agreement[source, target], histograms[source], histograms[target])
            curves[source, target] = stretched(curve, histograms[source], gain)
    return _assembled(store.preprocessing.modalities, histograms, curves, agreement)


def intensity_histograms(store: SliceStore, cases: Sequence[SlicedCase]) -> dict[Modality, Floats]:
    """Return the histogram over the knots of brain without tumour, of sum 1, of every modality that a case has.

    Every case counts the same.
    """
    sums = {modality: np.zeros(KNOTS) for modality in store.preprocessing.modalities}
    for case in cases:
        for modality in case.modalities:
            found = case_intensities(store, case, modality, 1)
            knots = (found.image[found.counted] * (KNOTS - 1)).round().astype(np.intp)
            sums[modality] += np.bincount(knots, minlength=KNOTS) / max(1, len(knots))
    return {modality: total / total.sum() for modality, total in sums.items() if total.sum() > 0}


def _paired_maps(store: SliceStore, cases: Sequence[SlicedCase], histograms: Mapping[Modality, Floats]) -> ContrastMaps:
    """Return the mean target by source intensity; it agrees with the target by the share of spread that it explains."""
    curves = _paired_curves(store, cases)
    agreement = {}
    for (source, target), curve in curves.items():
        whole = spread(GRID, histograms[target])
        agreement[source, target] = min(1.0, spread(curve, histograms[source]) / whole) if whole > 0 else 0.0
    return _assembled(store.preprocessing.modalities, histograms, curves, agreement, paired=True)


def _paired_curves(store: SliceStore, cases: Sequence[SlicedCase]) -> dict[Pair, Floats]:
    pairs = permutations(store.preprocessing.modalities, 2)
    means: dict[Pair, KnotMeans] = {pair: KnotMeans() for pair in pairs}
    for case in cases:
        images = {modality: case_intensities(store, case, modality, 1) for modality in case.modalities}
        for source, target in permutations(images, 2):
            both = images[source].counted & images[target].counted
            means[source, target].add(images[source].image[both], images[target].image[both])
    return {pair: found.curve() for pair, found in means.items() if found.known}


def _means_through_atlas(store: SliceStore, cases: Sequence[SlicedCase], atlas: CohortAtlas) -> dict[Pair, KnotMeans]:
    """Return for each pair, and each modality with itself, the others' mean target by source intensity."""
    every = store.preprocessing.modalities
    means: dict[Pair, KnotMeans] = {pair: KnotMeans() for pair in product(every, every)}
    for patient in by_patient(cases):
        others = atlas.without(cohort_atlas(store, patient, atlas.positions))
        targets = {modality: (others.mean(modality), others.inside(modality)) for modality in every}
        for case in patient:
            for source in case.modalities:
                image = case_intensities(store, case, source, atlas.positions)
                for target in every:
                    _add(means[source, target], image, *targets[target])
    return means


def _add(means: KnotMeans, case: CaseIntensities, target: Floats, inside: Flags) -> None:
    used = case.counted & inside[case.position]
    means.add(case.image[used], target[case.position][used])


def _own_contrast(means: KnotMeans, histogram: Floats) -> float:
    """Return how much of a modality's spread the mean brain of the others tells, 0 to 1.

    The perfect map of a modality to itself is the identity. What the atlas makes of it is flatter, because brains do
    not lie exactly on each other and patients differ.
    """
    whole = spread(GRID, histogram)
    return min(1.0, spread(means.curve(), histogram) / whole) if whole > 0 else 0.0


def _share_a_space(own: Sequence[float]) -> bool:
    """Tell whether brains lie on each other, by the modalities that several patients have, and say so."""
    found = float(np.mean(own)) if own else 0.0
    shared = found >= SHARED_SPACE
    what = "maps are fitted through the mean brain" if shared else "histograms are matched instead of mapped"
    _logger.info(
        "contrast maps: the mean brain of the others tells %.3f of a modality's contrast (%.2f is enough): %s",
        found,
        SHARED_SPACE,
        what,
    )
    return shared


def _agreement(atlas: CohortAtlas, curve: Floats, source: Modality, target: Modality) -> float:
    """Return the correlation of the mapped mean brain of the source with that of the target, at least 0."""
    inside = atlas.inside(source) & atlas.inside(target)
    mapped = np.interp(atlas.mean(source)[inside], GRID, curve)
    wanted = atlas.mean(target)[inside]
    if len(mapped) == 0 or mapped.std() == 0 or wanted.std() == 0:
        return 0.0
    return max(0.0, float(np.corrcoef(mapped, wanted)[0, 1]))


def _gain(curve: Floats, flattened: float, agreement: float, source: Floats, target: Floats) -> float:
    """Return by how much a curve is stretched: what makes good the flattening, as far as the mean brains agree.

    A map has at most the spread of its target.
    """
    own = spread(curve, source)
    if own == 0 or flattened == 0:
        return 1.0
    return max(1.0, min(1 + (1 / flattened - 1) * agreement, spread(GRID, target) / own))


def _assembled(
    modalities: ModalitySet,
    histograms: Mapping[Modality, Floats],
    curves: Mapping[Pair, Floats],
    agreement: Mapping[Pair, float],
    paired: bool = False,
) -> ContrastMaps:
    """Return the maps, with histogram matching for pairs without a curve."""
    table = torch.from_numpy(GRID).to(torch.float32).repeat(len(modalities), len(modalities), 1)
    trust = torch.zeros(len(modalities), len(modalities))
    for source, target in permutations(histograms, 2):
        curve = curves.get((source, target))
        if curve is None:
            curve = histogram_matching(histograms[source], histograms[target])
        place = modalities.channel(source), modalities.channel(target)
        table[place] = torch.from_numpy(curve).to(torch.float32)
        trust[place] = agreement.get((source, target), 0.0)
    return ContrastMaps(table, trust, paired=paired, modalities=modalities)


@dataclass(frozen=True)
class FlatBrain:
    """A translation without any detail: what pixel measures reward in it, they reward for nothing.

    Attributes:
        means: mean brain intensity of each modality in the training images, in [-1, 1]
            (`utad_monai.data.intensity.mean_brain_intensities`); 0, the window's middle, for one that is missing.
    """

    means: Mapping[Modality, float]

    def __call__(
        self, images: Mapping[Modality, Tensor], target: Modality, _tumour_mask: Tensor | None = None, /
    ) -> Tensor:
        """Fill what is brain in any of the images, `(Z, H, W)` in [-1, 1], with the mean of the target.

        Called like a `SliceTranslator`.
        """
        brain = torch.stack([image > BACKGROUND for image in images.values()]).any(dim=0)
        return torch.where(brain, self.means.get(target, 0.0), BACKGROUND)


TranslationMethod = Callable[[Mapping[Modality, Tensor], Modality, Tensor | None], Tensor]
"""Makes a target from `(Z, H, W)` images of its sources and the tumour mask of the case, like a `SliceTranslator`."""


def takes_several(method: object) -> bool:
    """Tell whether a method makes a target from any number of sources at once (`several`), not from one alone."""
    return bool(getattr(method, "several", False))


YARDSTICK_PROTOCOL = {
    "flat_brain": "every brain pixel at the training mean of the target modality",
    "contrast_map": "64 numbers per pair of modalities, fitted without pairs through the mean brain of other training "
    "patients (docs/method.md)",
    "paired_contrast_map": "64 numbers per pair of modalities, the mean target by source intensity: USES PAIRS of "
    "training patients, which no other method may; a bound, not a competitor",
}
"""What the yardsticks are; printed beside their numbers."""

JUDGED = (("ssim", BRAIN), ("ssim", TumourRegion.WT), ("mae", TumourRegion.WT))
"""The measures, and where, in which a method has to beat its contrast map."""


def fit_yardsticks(store: SliceStore, cases: Sequence[SlicedCase]) -> dict[ImageSource, TranslationMethod]:
    """Fit the flat brain and both contrast maps on the training cases.

    Args:
        store: prepared slices.
        cases: training cases; any may lack modalities.
    """
    return {
        ImageSource.FLAT_BRAIN: FlatBrain(mean_brain_intensities(store, cases)),
        ImageSource.CONTRAST_MAP: fit_contrast_maps(store, cases),
        ImageSource.PAIRED_CONTRAST_MAP: fit_contrast_maps(store, cases, paired=True),
    }


def not_beaten(quality: Mapping[str, float | None], contrast_map: Mapping[str, float | None]) -> list[str]:
    """Return the measures of `JUDGED` in which a method is no better than a contrast map.

    Args:
        quality: means of the method by measure; one that is missing or None is not judged.
        contrast_map: the same of the contrast map.
    """
    judged = []
    for measure, region in JUDGED:
        metric = column(measure, region)
        own, its = quality.get(metric), contrast_map.get(metric)
        if own is not None and its is not None and not (own > its if HIGHER_IS_BETTER[measure] else own < its):
            judged.append(metric)
    return judged
