"""An image under the name of another modality, whose own image is absent: told by what brains of each look like."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cache
from itertools import pairwise, permutations
from math import atanh
from pathlib import Path

import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.stats import skew

from utad_monai.keys import Modality
from utad_monai.transforms import BACKGROUND

GAIN = 18.0
"""Another role is suspected when it fits better by so much (difference of squared distances, in spreads)."""
GAIN_OF_CONTRAST = 28.0
"""The same of T1 and T1ce: without much enhancement they are almost the same image."""
_CONTRAST_PAIR = {Modality.T1, Modality.T1CE}
_FILE = Path(__file__).with_name("roles.json")
_GRID_MM = 2.0
"""Voxels are looked at about so far from each other."""
_DEPTHS_MM = (0.0, 4.0, 8.0, 16.0, 28.0, np.inf)
"""Shells of the brain by the distance from its surface: sulci, cortex, white matter, ventricles."""
_FEWEST = 50
"""Voxels of a shell; a brain with fewer is not judged."""
_MOST_ALIKE = 0.999
Floats = NDArray[np.floating]
Pair = tuple[str, str]


@dataclass(frozen=True)
class CaseLooks:
    """What is measured on the images of a case.

    Attributes:
        images: `(20,)` for each image: in each shell its mean, spread, and quantiles 0.95 and 0.05, all but the spread
            relative to the brain's median.
        pairs: for each ordered pair the correlation (Fisher's z) of the images, and the skewness of their difference.
    """

    images: Mapping[str, Floats]
    pairs: Mapping[Pair, Floats]


@dataclass(frozen=True)
class RoleProfiles:
    """How the images of each modality look, on average over patients.

    Attributes:
        patients: number of patients that they were averaged over.
        images: mean of `CaseLooks.images` by modality.
        covariance: `(20, 20)` of the images around the means of their modalities.
        pairs: mean of `CaseLooks.pairs`.
        spreads: standard deviations of both numbers of a pair.
    """

    patients: int
    _: KW_ONLY
    images: Mapping[str, Floats]
    covariance: Floats
    pairs: Mapping[Pair, Floats]
    spreads: Floats

    def gains(self, looks: CaseLooks) -> Iterator[tuple[float, str, str]]:
        """Yield by how much each absent role fits better than the one that an image has, with both roles."""
        for shown, seen in looks.images.items():
            own = self._distance(looks, seen, shown, shown)
            for other in self.images:
                if other not in looks.images:
                    yield own - self._distance(looks, seen, shown, other), shown, other

    def _distance(self, looks: CaseLooks, seen: Floats, shown: str, role: str) -> float:
        """Return the squared distance of an image, shown under one name, from a role, alone and beside the others."""
        away = seen - self.images[role]
        alone = float(away @ np.linalg.solve(self.covariance, away))
        others = [other for other in looks.images if other != shown]
        beside = [(looks.pairs[shown, o] - self.pairs[role, o]) / self.spreads for o in others]
        return alone + float(sum(np.square(one).sum() for one in beside))


def suspected_role(images: Mapping[Modality, MetaTensor]) -> tuple[Modality, Modality] | None:
    """Return the image that most likely is another modality than its name says, and which; None without suspicion.

    Only modalities that are absent are considered: `suspected_swap` looks at those that are there.

    Args:
        images: `(1, X, Y, Z)` skull-stripped images on one grid, normalised to [-1, 1] with background -1, by the
            modality that their names say.
    """
    known = {modality: image for modality, image in images.items() if modality in tuple(Modality)}
    looks = case_looks(known) if len(known) < len(Modality) else None
    return None if looks is None else suspected_in(looks, role_profiles())


def suspected_in(looks: CaseLooks, profiles: RoleProfiles) -> tuple[Modality, Modality] | None:
    """Return what `suspected_role` does, of measured images and by other profiles."""
    found = [(gain, Modality(shown), Modality(other)) for gain, shown, other in profiles.gains(looks)]
    clear = [(gain, shown, other) for gain, shown, other in found if gain > _needed(shown, other)]
    return max(clear)[1:] if clear else None


def _needed(shown: Modality, other: Modality) -> float:
    return GAIN_OF_CONTRAST if {shown, other} == _CONTRAST_PAIR else GAIN


def case_looks(images: Mapping[Modality, MetaTensor]) -> CaseLooks | None:
    """Measure the images of a case, as `suspected_role` takes them; None when there is too little brain."""
    if not images:
        return None
    sizes = [float(size) for size in next(iter(images.values())).pixdim]
    steps = [max(1, round(_GRID_MM / size)) for size in sizes]
    sampled = {str(m): image.numpy()[0, :: steps[0], :: steps[1], :: steps[2]] for m, image in images.items()}
    brain = np.logical_and.reduce([array > BACKGROUND for array in sampled.values()])
    spacing = [step * size for step, size in zip(steps, sizes, strict=True)]
    depth = distance_transform_edt(np.pad(brain, 1), spacing)[1:-1, 1:-1, 1:-1][brain]
    shells = [(depth > above) & (depth <= below) for above, below in pairwise(_DEPTHS_MM)]
    if min(int(shell.sum()) for shell in shells) < _FEWEST:
        return None
    voxels = {modality: array[brain].astype(np.float64) for modality, array in sampled.items()}
    pairs = {(one, other): _pair(voxels[one], voxels[other]) for one, other in permutations(voxels, 2)}
    return CaseLooks({modality: _shells(array, shells) for modality, array in voxels.items()}, pairs)


def _shells(voxels: Floats, shells: Sequence[NDArray[np.bool_]]) -> Floats:
    middle = np.median(voxels)
    measured = []
    for shell in shells:
        inside = voxels[shell]
        high, low = np.quantile(inside, (0.95, 0.05))
        measured.append((inside.mean() - middle, inside.std(), high - middle, low - middle))
    return np.array(measured).T.ravel()


def _pair(one: Floats, other: Floats) -> Floats:
    alike = float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 and other.std() > 0 else 0.0
    return np.array([atanh(max(-_MOST_ALIKE, min(_MOST_ALIKE, alike))), float(np.nan_to_num(skew(other - one)))])


@cache
def role_profiles() -> RoleProfiles:
    """Return the profiles that come with the package: means over 16 patients, none of whom can be told from them."""
    content = json.loads(_FILE.read_text(encoding="ascii"))
    pairs = {(name.split()[0], name.split()[1]): np.array(mean) for name, mean in content["pairs"].items()}
    return RoleProfiles(
        content["patients"],
        images={modality: np.array(mean) for modality, mean in content["images"].items()},
        covariance=np.array(content["covariance"]),
        pairs=pairs,
        spreads=np.array(content["spreads"]),
    )
