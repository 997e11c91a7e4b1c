"""The same voxels under two names: copies within a case, and between cases."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from utad_monai.check.finding import CaseReport, Finding, FindingKind
from utad_monai.data.layouts import Case
from utad_monai.keys import Modality


def voxel_digest(image: Tensor) -> str:
    """Return a hash of shape and voxels: two files with another header or compression still agree."""
    array = np.ascontiguousarray(image.numpy())
    digest = hashlib.blake2b(repr(array.shape).encode(), digest_size=16)
    digest.update(array.data)
    return digest.hexdigest()


def duplicates(reports: Sequence[CaseReport]) -> Iterator[Finding]:
    """Yield a finding for each image whose voxels an earlier image has."""
    holders: dict[str, list[tuple[Case, Modality]]] = defaultdict(list)
    for report in reports:
        for modality, digest in report.digests.items():
            holders[digest].append((report.case, modality))
    for (first, first_modality), *others in holders.values():
        for case, modality in others:
            text = f"{modality} holds the same voxels as {_whose(first, first_modality, case)}"
            yield Finding(FindingKind.DUPLICATE, case.case_id, case.images[modality], f"{text}: a duplicate")


def _whose(first: Case, modality: Modality, case: Case) -> str:
    if first.case_id == case.case_id:
        return f"{modality} of this case"
    other = f"{modality} of case {first.case_id}"
    return other if first.patient_id == case.patient_id else f"{other}, another patient (splits would leak)"
