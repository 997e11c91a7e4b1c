"""Image files of any format, looked at from outside: their name without its ending, and what it says they show."""

from __future__ import annotations

import re
from pathlib import Path

from utad_monai.data.sequences import RawRole, read_name
from utad_monai.errors import InvalidImageError
from utad_monai.keys import SYNTHETIC_MARK
from utad_monai.transforms.nifti import read_header

_IMAGE = re.compile(r"(.+?)\.(nii|hdr|img|nrrd|nhdr|mha|mhd|mgz|mgh)(\.(gz|bz2|xz|zst|zip|z))?", re.IGNORECASE)
_DICOM = re.compile(r"(.+?)\.(dcm|dicom|ima)", re.IGNORECASE)
_NUMBERED = re.compile(r"[^.]+|.*\.\d+")
"""Names that DICOM files have without an ending: `IM0001`, `1.2.840.113619.2.1`."""
_DICOM_HEAD = 1 << 13
_MAGIC = slice(128, 132)
_DESCRIPTION = b"\x08\x00\x3e\x10"
"""Tag (0008,103E), the description of a series, as most files store it."""

_ELSE = re.compile(
    r"bias[\s_-]*field|(^|[^a-z])(warp|warps|warpfield|deformation|displacement|jacobian|jac|xfm|transform|prob|probability"
    r"|probseg|pve\d*|pveseg|dseg|dtseg|aseg|aparc|ribbon|parc|parcellation|tissues?|csf|gm|wm|uncertainty|entropy|logits"
    r"|softmax|heatmap|gtv|ctv|ptv|rois?|rtstruct|dose|ct|pet|snr|residuals?|eddy|noreg|pred|prediction|predictions"
    r"|segmentations?|masks?|labelmap|contours?)([^a-z]|$)"
)
"""Words for what was computed from images, or comes from another machine."""
_LABELS = frozenset({RawRole.SEGMENTATION, RawRole.BRAIN_MASK})
OTHER_FOLDERS = frozenset({"func", "dwi", "fmap", "perf", "pet", "mrs", "meg", "eeg", "beh", "micr", "nirs"})
"""Data types of BIDS that hold no anatomical image."""
_OTHER_SUFFIXES = frozenset(
    {
        *("pdw", "pdt2", "t2starw", "t2star", "inplanet1", "inplanet2", "angio", "megre", "mese", "vfa", "irt1"),
        *("mpm", "mts", "mtw", "mtr", "mtsat", "tb1tfl", "tb1afi", "chimap", "r1map", "r2map", "r2starmap", "t1map"),
        *("t2map", "t2starmap", "t1rho", "m0map", "s0map", "pdmap", "mtvmap", "mwfmap", "defacemask", "bold", "sbref"),
        *("boldref", "cbv", "phase", "dwi", "asl", "m0scan", "aslref", "epi", "magnitude", "magnitude1", "magnitude2"),
        *("phase1", "phase2", "phasediff", "fieldmap", "svs", "mrsi", "unloc", "swi", "minip"),
    }
)
"""Suffixes of BIDS, in lower case, that are none of the four modalities."""


def image_stem(path: Path) -> str | None:
    """Return the name of an image file without its ending, in any case of letters; None for files that are none."""
    match = _IMAGE.fullmatch(path.name) or _DICOM.fullmatch(path.name)
    if match:
        return match[1]
    return path.name if _NUMBERED.fullmatch(path.name) and _begins_as_dicom(path) else None


def is_dicom(path: Path) -> bool:
    """Tell whether an image file, one that has an `image_stem`, is DICOM by its name."""
    return not _IMAGE.fullmatch(path.name)


def role_of_name(text: str) -> frozenset[RawRole]:
    """Return what the name of an image says it is, as `read_name`; what was computed from images is `OTHER`."""
    suffix = text.casefold().rpartition("_")[2]
    if _ELSE.search(text.casefold()) or suffix in _OTHER_SUFFIXES:
        said = read_name(text).roles
        return said if said and said <= _LABELS else frozenset({RawRole.OTHER})
    return read_name(text).roles


def series_description(path: Path) -> str:
    """Return what a DICOM file calls its series; empty where its beginning does not say."""
    head = _head(path)
    place = head.find(_DESCRIPTION)
    if place < 0:
        return ""
    form, start = head[place + 4 : place + 8], place + 8
    explicit = form[:2] == b"LO"
    length = int.from_bytes(form[2:] if explicit else form, "little")
    return head[start : start + length].decode("latin-1").strip(" \0") if length < len(head) else ""


def is_written_here(path: Path) -> bool:
    """Tell whether a NIfTI file is a synthetic image or an uncertainty map of this project, by its header."""
    try:
        return bytes(read_header(path)["descrip"].tobytes()).startswith(SYNTHETIC_MARK.encode())
    except (InvalidImageError, OSError, ValueError):
        return False


def _begins_as_dicom(path: Path) -> bool:
    """Tell whether a file has the mark of DICOM, or, without a preamble, begins with a tag of group 2 or 8."""
    head = _head(path, _MAGIC.stop)
    tag, form = head[:4], head[4:8]
    begins = len(head) >= 8 and tag[:2] in (b"\x02\x00", b"\x08\x00") and tag[3] == 0
    plausible = (form[:2].isalpha() and form[:2].isupper()) or form[1:] == bytes(3)
    return head[_MAGIC] == b"DICM" or (begins and plausible)


def _head(path: Path, count: int = _DICOM_HEAD) -> bytes:
    try:
        if not path.is_file():  # to open a pipe would wait for ever
            return b""
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""
