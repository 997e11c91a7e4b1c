"""The same voxels under two names: copies between cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from utad_monai.check.finding import CaseReport
from utad_monai.data.findings import Finding, FindingKind
from utad_monai.data.layouts import Case
from utad_monai.keys import Modality


def duplicates(reports: Sequence[CaseReport]) -> Iterator[Finding]:
    """Yield a finding for each image whose voxels an image of an earlier case has."""
    holders: dict[str, list[tuple[Case, Modality]]] = defaultdict(list)
    for report in reports:
        for modality, digest in report.digests.items():
            holders[digest].append((report.case, modality))
    for (first, first_modality), *others in holders.values():
        for case, modality in others:
            if case.case_id == first.case_id:
                continue
            text = f"{modality} holds the same voxels as {_whose(first, first_modality, case)}"
            yield Finding(FindingKind.DUPLICATE, case.case_id, case.images[modality], f"{text}: a duplicate")


def _whose(first: Case, modality: Modality, case: Case) -> str:
    other = f"{modality} of case {first.case_id}"
    return other if first.patient_id == case.patient_id else f"{other}, another patient (splits would leak)"
