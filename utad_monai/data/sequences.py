"""Which sequence a file, folder or DICOM series is, from its name alone; more than one answer is no answer."""

from __future__ import annotations

import re
from enum import StrEnum

from utad_monai.keys import Modality


class RawRole(StrEnum):
    """What a raw image is for."""

    FLAIR = "flair"
    T1 = "t1"
    T1CE = "t1ce"
    T2 = "t2"
    SEGMENTATION = "seg"
    """Tumour labels on the grid of one of the case's images."""
    BRAIN_MASK = "brain_mask"
    """The brain (nonzero) on the grid of one of the case's images."""
    OTHER = "other"
    """A sequence that is known and not used: diffusion, perfusion, localiser, ..."""

    @property
    def modality(self) -> Modality | None:
        """The modality, when it is one."""
        return next((modality for modality in Modality if modality.value == self.value), None)


_REWRITES = (
    (r"t2\s*\*", " t2star "),
    (r"\+\s*(c|gd|gad|km|contrast)\b", " contrast "),
    (r"\b(w/o|w\.o\.)", " without "),
    (r"\bw/", " with "),
    (r"dark[\s_-]*fluid", " flair "),
    (r"t2[\s_-]*star", " t2star "),
)
_PLANE = r"(?:ax|sag|cor|tra|3d|2d)*"
_T1 = re.compile(rf"{_PLANE}t1(?![\d]|rho|map)(?P<rest>[a-z0-9]*)")
_T2 = re.compile(rf"{_PLANE}t2(?![\d]|star|map|f$)[a-z0-9]*")
_T1_SEQUENCES = re.compile(rf"{_PLANE}(mprage|mpr|mp2rage|spgr|fspgr|bravo|ir?fspgr)")
_FUSED_CONTRAST = re.compile(r"(w|wi)?(c|ce|gd|gad|km|post|postcontrast|contrast)")
_CONTRAST = {"ce", "gd", "gad", "gado", "gadolinium", "contrast", "enhanced", "km", "cm"}
_AFTER = {"post", "postcontrast", "postgad", "postgd", "after"}
_BEFORE = {"pre", "precontrast", "pregad", "pregd", "without", "native", "nativ", "non", "noncontrast", "nonenhanced"}
_SEGMENTATION = {"seg", "segmentation", "label", "labels", "tumour", "tumor", "lesion"}
_BRAIN_MASK = {"mask", "brainmask", "betmask"}
_OTHER = {
    *("dwi", "adc", "trace", "tracew", "dti", "fa", "md", "ep2d", "epi", "bold", "fmri", "rest", "asl", "dsc", "dce"),
    *("perf", "perfusion", "cbv", "cbf", "mtt", "ttp", "swi", "swan", "mip", "minip", "phase", "t2star", "gre", "pd"),
    *("tof", "mra", "mrv", "angio", "loc", "localizer", "localiser", "scout", "survey", "stir", "ciss", "fiesta"),
    *("map", "t1map", "t2map", "t1rho", "svs", "csi", "spectroscopy", "cal", "calibration", "sub", "subtraction"),
}


def recognise(text: str) -> frozenset[RawRole]:
    """Return what a name says an image is.

    Args:
        text: a file or folder name without its ending, or a DICOM series description.

    Returns:
        Empty when it says nothing, one role when it is plain, several when it can be read in more than one way.
    """
    words = _words(text)
    if words & _SEGMENTATION:
        return frozenset({RawRole.SEGMENTATION})
    if words & _BRAIN_MASK:
        return frozenset({RawRole.BRAIN_MASK})
    if words & _OTHER:
        return frozenset({RawRole.OTHER})
    return _weighting(words)


def _words(text: str) -> frozenset[str]:
    text = text.casefold()
    for pattern, replacement in _REWRITES:
        text = re.sub(pattern, replacement, text)
    return frozenset(re.split(r"[^a-z0-9]+", text)) - {""}


def _weighting(words: frozenset[str]) -> frozenset[RawRole]:
    t1 = any(_T1.fullmatch(word) or _T1_SEQUENCES.fullmatch(word) for word in words)
    flair = any("flair" in word or word == "t2f" for word in words)
    t2 = any(_T2.fullmatch(word) and "flair" not in word for word in words)
    if flair:  # an inversion recovery with T1 weighting has both words: nobody can tell them apart by name
        return frozenset({RawRole.FLAIR}) | (_contrast(words) if t1 else frozenset())
    return (_contrast(words) if t1 else frozenset()) | (frozenset({RawRole.T2}) if t2 else frozenset())


def _contrast(words: frozenset[str]) -> frozenset[RawRole]:
    """Tell a native T1 from one after contrast agent; a name that says both is both."""
    fused = any((match := _T1.fullmatch(word)) and _FUSED_CONTRAST.fullmatch(match["rest"]) for word in words)
    before = bool(words & _BEFORE)
    if before and (fused or words & _AFTER or "with" in words):
        return frozenset({RawRole.T1, RawRole.T1CE})
    enhanced = fused or bool(words & (_CONTRAST | _AFTER))
    return frozenset({RawRole.T1CE if enhanced and not before else RawRole.T1})
