"""Images with the same voxels: within a case a modality was copied, across cases a patient was counted twice."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from monai.data import MetaTensor
from torch import Tensor

from utad_monai.data.layouts import Case
from utad_monai.data.quality.finding import Finding, FindingKind
from utad_monai.keys import Modality


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
        cases: each with the `voxel_digest` of its images.
    """
    holders: dict[str, list[tuple[Case, Modality]]] = defaultdict(list)
    for case, digests in cases:
        for modality, digest in digests.items():
            holders[digest].append((case, modality))
    for (first, first_modality), *others in holders.values():
        for case, modality in others:
            if case.case_id != first.case_id:
                same = first.patient_id == case.patient_id
                other = f"{first_modality} of case {first.case_id}"
                yield _duplicate(case, modality, other if same else f"{other}, another patient (splits would leak)")


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
