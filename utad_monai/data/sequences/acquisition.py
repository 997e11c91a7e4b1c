"""What the acquisition parameters of an image allow it to be, in the names and units of a BIDS sidecar.

Bounds are those of clinical scanners of 1.5 and 3 tesla, and wide: what is not clear says nothing. 3-D sequences of
variable flip angles (SPACE, CUBE, VISTA) have longer echo times, but stay on the same side of every bound.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from utad_monai.data.sequences.names import read_name
from utad_monai.data.sequences.role import ALL_ROLES, T1_WEIGHTED, RawRole

_FLAIR, _T2, _OTHER = RawRole.FLAIR, RawRole.T2, RawRole.OTHER
_AGENT_FIELDS = ("ContrastBolusAgent", "ContrastBolusIngredient")
_DOSES = ("ContrastBolusVolume", "ContrastBolusTotalDose")
_NO_AGENT = re.compile(
    r"[\W_]*|0+([.,]0*)?|n[/.]?[ao]?\.?|nein|non?e?|keine?s?|aucun|nessuno|ninguno|unknown|unbekannt|null|nil|false|f|"
    r"not? (given|used|applicable)|saline|nacl.*|water|buscopan.*|glucagon.*|xenon|barium|oral.*|\?+"
)
"""What people and scanners write where there was no agent; the field does not say then that there was none."""
_LONGEST_TE_S, _LONGEST_TR_S, _LONGEST_TI_S = 1.0, 60.0, 20.0
"""Larger numbers are milliseconds: some converters keep them."""
_LONG_TE_MS, _SHORT_TE_MS = 60.0, 40.0
_STAR_TE_MS, _GRADIENT_TE_MS = 15.0, 12.0
_T1_TE_MS = 25.0
_SHORT_TR_MS, _FLAIR_TR_MS = 1200.0, 3500.0
_FLAIR_TI_MS, _T1_TI_MS, _STIR_TI_MS = 1500.0, (350.0, 1400.0), (80.0, 300.0)
_SIEMENS = {"ep": "EP", "tfl": "GR", "fl": "GR", "swi": "GR", "spcir": "IR", "tir": "IR", "spc": "SE", "tse": "SE"}
_SIEMENS |= {"se": "SE"}
"""Beginnings of SequenceName, and the kind of sequence that they are."""
_DERIVED = frozenset(
    {
        *("P", "PHASE", "PHASE_MAP", "REAL", "IMAGINARY", "IN_PHASE", "OUT_PHASE", "OPP_PHASE", "FAT", "DIXON_FAT"),
        *("ADC", "FA", "TRACEW", "DIFFUSION", "PERFUSION", "ASL", "RELCBV", "RELCBF", "CBV", "CBF", "MTT", "TTP"),
        *("SUB", "SUBTRACT", "SUBTRACTION", "MIP", "MNIP", "MINIP", "PROJECTION", "PROJECTION_IMAGE", "LOCALIZER"),
        *("T1MAP", "T1_MAP", "T2MAP", "T2_MAP", "T2_STAR", "SYNTHETIC"),
    }
)
"""Values of ImageType that say that an image is no weighting of its own."""


@dataclass(frozen=True)
class Hint:
    """What one parameter says.

    Attributes:
        text: the parameter and its value, as users read it.
        allowed: what the image may be all the same.
        derived: whether the image was computed from others: then it is none of them, whatever it is called.
    """

    text: str
    allowed: frozenset[RawRole]
    _: KW_ONLY
    derived: bool = False


def acquisition_hints(parameters: Mapping[str, Any]) -> list[Hint]:
    """Return what each parameter that is clear says.

    Args:
        parameters: a BIDS sidecar, or the same names from DICOM tags; seconds (milliseconds are noticed).
    """
    return [*_agent_hints(parameters), *_place_hints(parameters), *_timing_hints(parameters)]


def contrast_agent(parameters: Mapping[str, Any]) -> str:
    """Return the contrast agent that was given; empty where none is named, which does not say that there was none."""
    for field in _AGENT_FIELDS:
        text = str(parameters.get(field) or "").strip()
        if text and not _NO_AGENT.fullmatch(text.casefold()) and RawRole.T1 not in read_name(text).contrast:
            return text
    dose = next((value for field in _DOSES if (value := _number(parameters.get(field))) > 0), 0.0)
    return f"of {dose:g} ml" if dose else ""


def _agent_hints(parameters: Mapping[str, Any]) -> Iterator[Hint]:
    if agent := contrast_agent(parameters):
        yield Hint(f"contrast agent {agent}", ALL_ROLES - {RawRole.T1})


def _place_hints(parameters: Mapping[str, Any]) -> Iterator[Hint]:
    """Yield what is no weighting of a brain: another part of the body, and what was computed."""
    body = str(parameters.get("BodyPartExamined") or parameters.get("BodyPart") or "")
    if body and read_name(body).weighting == {_OTHER}:
        yield Hint(f"body part {body}", frozenset({_OTHER}))
    kinds = parameters.get("ImageType")
    listed = (
        {str(kind).strip().upper().replace(" ", "_") for kind in kinds} if isinstance(kinds, list | tuple) else set()
    )
    for kind in sorted(listed & _DERIVED)[:1]:
        yield Hint(f"image type {kind}", frozenset({_OTHER}), derived=True)


def _timing_hints(parameters: Mapping[str, Any]) -> Iterator[Hint]:
    """Yield at most one hint of echo, repetition and inversion time and the kind of sequence."""
    echo, repetition, inversion = (
        _milliseconds(parameters.get(name), largest)
        for name, largest in (
            ("EchoTime", _LONGEST_TE_S),
            ("RepetitionTime", _LONGEST_TR_S),
            ("InversionTime", _LONGEST_TI_S),
        )
    )
    kind = _kind(parameters)
    allowed = _echo_planar(kind) or _allowed(kind, echo, repetition, inversion)
    if allowed:
        times = {"TE": echo, "TR": repetition, "TI": inversion}
        texts = [f"{name} {value:g} ms" for name, value in times.items() if value > 0]
        yield Hint(", ".join([*(["/".join(sorted(kind))] if kind else []), *texts]), allowed)


def _kind(parameters: Mapping[str, Any]) -> frozenset[str]:
    """Return SE, IR, GR, EP of ScanningSequence and, where it says none, of Siemens's name of the sequence."""
    value = parameters.get("ScanningSequence")
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")
    kind = frozenset(re.split(r"[^A-Z]+", text.upper())) & {"SE", "IR", "GR", "EP"}
    if kind:
        return kind
    name = re.sub(r"^[*\W_]+", "", str(parameters.get("SequenceName") or "").casefold())
    return frozenset(next(([kind] for start, kind in _SIEMENS.items() if re.match(rf"{start}(\d|_|i|$)", name)), []))


def _echo_planar(kind: frozenset[str]) -> frozenset[RawRole]:
    return frozenset({_OTHER}) if "EP" in kind else frozenset()


def _allowed(kind: frozenset[str], echo: float, repetition: float, inversion: float) -> frozenset[RawRole]:
    """Return what times in ms (0 where unknown) allow; empty where they are not clear."""
    gradient = "GR" in kind and "SE" not in kind
    if gradient and echo >= _STAR_TE_MS:
        return frozenset({_OTHER})  # T2*
    if gradient:
        return T1_WEIGHTED | {_OTHER} if 0 < echo <= _GRADIENT_TE_MS else frozenset()
    if inversion and echo:
        return _inverted(echo, inversion)
    if echo >= _LONG_TE_MS:
        return _long_echo(kind, repetition)
    if 0 < echo <= _SHORT_TE_MS and repetition:
        plain = "SE" in kind and repetition <= _SHORT_TR_MS and echo <= _T1_TE_MS
        return T1_WEIGHTED if plain else T1_WEIGHTED | {_OTHER}
    return frozenset()


def _inverted(echo: float, inversion: float) -> frozenset[RawRole]:
    if inversion >= _FLAIR_TI_MS and echo >= _LONG_TE_MS:
        return frozenset({_FLAIR})
    if _STIR_TI_MS[0] <= inversion <= _STIR_TI_MS[1]:
        return frozenset({_OTHER})  # STIR: fat is nulled
    if _T1_TI_MS[0] <= inversion <= _T1_TI_MS[1] and echo <= _SHORT_TE_MS:
        return T1_WEIGHTED
    return frozenset()


def _long_echo(kind: frozenset[str], repetition: float) -> frozenset[RawRole]:
    if "IR" in kind:
        return frozenset({_FLAIR, _OTHER})
    if "SE" in kind or 0 < repetition < _FLAIR_TR_MS:
        return frozenset({_T2, _OTHER})
    return frozenset({_T2, _FLAIR, _OTHER})


def _milliseconds(value: Any, longest_s: float) -> float:
    number = _number(value)
    return round(number if number > longest_s else number * 1000, 3)


def _number(value: Any) -> float:
    """Return a finite positive number; 0 for everything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if math.isfinite(number) and number > 0 and not isinstance(value, bool) else 0.0
