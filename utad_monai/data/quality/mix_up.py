"""Images of a cohort in the place of others: in a wrong role, or twice."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from monai.data import MetaTensor
from scipy.stats import skew
from torch import Tensor

from utad_monai.data.layouts import Case
from utad_monai.data.quality.finding import Finding, FindingKind
from utad_monai.data.quality.wrong_role import suspected_role
from utad_monai.keys import Modality
from utad_monai.transforms import BACKGROUND

SKEWNESS_MARGIN = 0.5
"""A difference of images speaks for a swap from this negative skewness on."""
CORRELATION_MARGIN = 0.05
"""Correlations speak for a swap when they differ by more than this the wrong way round."""
SAMPLES = 60_000
"""Brain voxels that are looked at, evenly spread."""
MIN_SAMPLES = 1000
"""Fewer brain voxels than this give no judgement."""

Voxels = Mapping[Modality, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class _Likeness:
    """The sign that `closer` is more like `reference` than `farther` is."""

    closer: Modality
    farther: Modality
    reference: Modality


@dataclass(frozen=True)
class _Pair:
    """Two modalities and the signs that tell them apart; without the required references nothing is said."""

    first: Modality
    second: Modality
    bright_minority_of_second: bool
    likenesses: tuple[_Likeness, ...] = ()
    required: tuple[Modality, ...] = ()


_FLAIR, _T1, _T1CE, _T2 = Modality
_PAIRS = (
    _Pair(_T1, _T1CE, True),
    _Pair(_T1, _T2, True, (_Likeness(_T1, _T2, _T1CE),)),
    _Pair(_T1CE, _T2, True, (_Likeness(_T1CE, _T2, _T1),)),
    _Pair(_FLAIR, _T2, True, (_Likeness(_FLAIR, _T2, _T1), _Likeness(_FLAIR, _T2, _T1CE))),
    _Pair(_FLAIR, _T1, False, (_Likeness(_T1, _FLAIR, _T1CE), _Likeness(_FLAIR, _T1, _T2)), (_T2,)),
    _Pair(_FLAIR, _T1CE, False, (_Likeness(_T1CE, _FLAIR, _T1), _Likeness(_FLAIR, _T1CE, _T2)), (_T2,)),
)


def mix_up_warnings(case: Case, images: Mapping[Modality, MetaTensor]) -> Iterator[Finding]:
    """Yield a warning when the images of a case look as if two were swapped, or one were a modality that is absent.

    Args:
        case: the case.
        images: as `suspected_swap` takes them.
    """
    kind = FindingKind.MODALITY_MIX_UP
    if swap := suspected_swap(images):
        first, second = swap
        text = f"the images look as if modalities were mixed up, most likely {first} and {second}: look at them"
        yield Finding.warning(kind, case.case_id, None, text)
    elif role := suspected_role(images):
        shown, likely = role
        text = f"the {shown} image looks like a {likely}, which this case lacks: look at it"
        yield Finding.warning(kind, case.case_id, case.images[shown], text)


def suspected_swap(images: Mapping[Modality, MetaTensor]) -> tuple[Modality, Modality] | None:
    """Return the two modalities of a case that are most likely swapped, or None.

    Args:
        images: `(1, X, Y, Z)` skull-stripped images on one grid, normalised to [-1, 1] with background -1, by the
            modality that their names say.
    """
    voxels = sample_brain(images)
    return swap_in(voxels) if voxels else None


def sample_brain(images: Mapping[Modality, MetaTensor]) -> dict[Modality, np.ndarray[Any, Any]]:
    """Return voxels `(N,)` in [-1, 1] that are brain in every image; empty when there are too few."""
    arrays = {modality: image.numpy().ravel() for modality, image in images.items()}
    brain = np.flatnonzero(np.logical_and.reduce([array > BACKGROUND for array in arrays.values()]))
    if brain.size < MIN_SAMPLES:
        return {}
    chosen = brain[:: max(1, brain.size // SAMPLES)]
    return {modality: array[chosen] for modality, array in arrays.items()}


def swap_in(voxels: Voxels) -> tuple[Modality, Modality] | None:
    """Return the pair of sampled images `(N,)` whose signs speak most clearly for a swap, or None."""
    strongest, suspected = 1.0, None
    for pair in _PAIRS:
        # the weakest sign decides whether the pair is suspected, so all must agree
        signs = list(_signs(pair, voxels))
        if signs and max(signs) < -1 and np.mean(signs) < -strongest:
            strongest, suspected = -float(np.mean(signs)), (pair.first, pair.second)
    return suspected


def _signs(pair: _Pair, voxels: Voxels) -> Iterator[float]:
    """Yield the signs of a pair in units of their margins: below -1 speaks for a swap."""
    if not {pair.first, pair.second, *pair.required} <= set(voxels):
        return
    if pair.bright_minority_of_second:
        difference = voxels[pair.second].astype(np.float64) - voxels[pair.first]
        yield float(np.nan_to_num(skew(difference))) / SKEWNESS_MARGIN
    for likeness in pair.likenesses:
        if likeness.reference in voxels:
            closer, farther = (
                _correlation(voxels[modality], voxels[likeness.reference])
                for modality in (likeness.closer, likeness.farther)
            )
            yield (closer - farther) / CORRELATION_MARGIN


def _correlation(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Return Pearson's correlation; 0 when an image is constant."""
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def duplicates_within(case: Case, images: Mapping[Modality, MetaTensor]) -> Iterator[Finding]:
    """Yield a warning for each image whose voxels an earlier image of the same case has."""
    modalities = list(images)
    for place, modality in enumerate(modalities):
        first = next((other for other in modalities[:place] if _same_voxels(images[other], images[modality])), None)
        if first is not None:
            yield _duplicate(case, modality, f"{first} of this case")


def duplicates_across(cases: Iterable[tuple[Case, Mapping[Modality, str]]]) -> Iterator[Finding]:
    """Yield a warning for each image whose voxels an image of an earlier case has.

    Args:
        cases: each with the `voxel_digests` of its images.
    """
    for (first, first_modality), *others in _holders(cases):
        for case, modality in others:
            if case.case_id != first.case_id:
                other = f"{first_modality} of case {first.case_id}"
                stranger = f"{other}, another patient by name (a training takes both for one)"
                yield _duplicate(case, modality, other if first.patient_id == case.patient_id else stranger)


def cases_with_equal_voxels(cases: Iterable[tuple[Case, Mapping[Modality, str]]]) -> list[list[str]]:
    """Return the names of cases that have an image with the same voxels, group by group; each group has two or more.

    Args:
        cases: each with the `voxel_digests` of its images.
    """
    groups = [list(dict.fromkeys(case.case_id for case, _ in holders)) for holders in _holders(cases)]
    return [group for group in groups if len(group) > 1]


def _holders(cases: Iterable[tuple[Case, Mapping[Modality, str]]]) -> Iterable[list[tuple[Case, Modality]]]:
    """Return the images of each digest, in the order of the cases."""
    holders: dict[str, list[tuple[Case, Modality]]] = defaultdict(list)
    for case, digests in cases:
        for modality, digest in digests.items():
            holders[digest].append((case, modality))
    return holders.values()


def voxel_digests(images: Mapping[Modality, MetaTensor]) -> dict[Modality, str]:
    """Return the `voxel_digest` of each image; a constant one has none, because it is a copy of nothing."""
    return {m: voxel_digest(image.as_tensor()) for m, image in images.items() if bool(image.min() != image.max())}


def voxel_digest(image: Tensor) -> str:
    """Return a hash of shape and voxels: two files with another header or compression still agree."""
    array = np.ascontiguousarray(image.numpy())
    digest = hashlib.blake2b(repr(array.shape).encode(), digest_size=16)
    digest.update(array.data)
    return digest.hexdigest()


def _duplicate(case: Case, modality: Modality, original: str) -> Finding:
    text = f"{modality} holds the same voxels as {original}: a duplicate"
    return Finding.warning(FindingKind.DUPLICATE, case.case_id, case.images[modality], text)


def _same_voxels(first: MetaTensor, second: MetaTensor) -> bool:
    one, other = first.as_tensor(), second.as_tensor()
    return one.equal(other) and bool(one.min() != one.max())
