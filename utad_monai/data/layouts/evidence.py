"""What is known of an image beside its place in a layout: how it was acquired, and what the scanner called it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from utad_monai.data.layouts.bids import BIDS, stem_of
from utad_monai.data.layouts.case import SEGMENTATION, Claim, Containment
from utad_monai.data.sequences import NAME, RawRole, contradiction, read_sidecar, recognise


def with_evidence(claim: Claim, root: Path, inside: Containment) -> Claim:
    """Return a claim as its sidecar has it: BIDS leaves contrast agent to it, other layouts say what they are.

    Args:
        claim: what a layout says.
        root: the cohort's folder.
        inside: which sidecars may be read.
    """
    if claim.part == SEGMENTATION or claim.layout.channels:
        return claim
    sidecar = read_sidecar(claim.path, root, inside.leaves)
    if sidecar.get("Synthetic") is True:  # an image of this project names its modality itself
        made = str(sidecar.get("Modality"))
        told = made == claim.part
        return replace(claim, doubt="" if told else f"the name says {claim.part}, the synthetic image's sidecar {made}")
    if claim.layout is not BIDS:
        return replace(claim, doubt=contradiction(RawRole(claim.part), "the name", sidecar))
    what = recognise({NAME: stem_of(claim.path)}, sidecar)
    modality = what.role.modality if what.role else None
    return replace(claim, part=modality or claim.part, doubt="" if modality else what.reason)
