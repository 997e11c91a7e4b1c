"""What an image is by all that is known of it: how it was acquired decides, then what it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import reduce
from typing import Any

from utad_monai.data.sequences.acquisition import Hint, acquisition_hints
from utad_monai.data.sequences.names import NameReading, read_name
from utad_monai.data.sequences.role import ALL_ROLES, MASKS, T1_WEIGHTED, RawRole

NAME, FOLDER, DESCRIPTION = "name", "folder", "description"
"""Who speaks of an image: its file, the folder that it lies in, and the scanner's user."""
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName")


@dataclass(frozen=True)
class Recognition:
    """What an image is.

    Attributes:
        roles: none when nothing is known, one when it is plain, several when it can be several or its voices differ.
        reason: why it is not one, or no weighting of its own; empty when it is plain.
    """

    roles: frozenset[RawRole]
    _: KW_ONLY
    reason: str = ""

    @property
    def role(self) -> RawRole | None:
        """The one role of a plain image."""
        return next(iter(self.roles)) if len(self.roles) == 1 else None


def recognise(names: Mapping[str, str], parameters: Mapping[str, Any] | None = None) -> Recognition:
    """Say what an image is.

    Args:
        names: the texts of `NAME`, `FOLDER` and `DESCRIPTION`, those that there are; a sidecar's description is heard
            without being given here.
        parameters: how it was acquired, in the words of a BIDS sidecar.
    """
    parameters = parameters or {}
    texts = {**names, **_description(names, parameters)}
    heard = {who: text for who, text in texts.items() if read_name(text).speaks}
    return _judged(_together(heard), heard, acquisition_hints(parameters))


def contradiction(role: RawRole, said_by: str, parameters: Mapping[str, Any], name: str = "") -> str:
    """Return what contradicts somebody who decides what an image is; empty when nothing does.

    Args:
        role: what is said.
        said_by: who says so, such as `the table`.
        parameters: how the image was acquired, in the words of a BIDS sidecar.
        name: what the image is called.
    """
    if not role.modality:
        return ""
    against = [hint for hint in acquisition_hints(parameters) if role not in hint.allowed]
    texts = {**({NAME: name} if name else {}), **_description({}, parameters)}
    readings = {who: read_name(text) for who, text in texts.items()}
    named = [
        f"its {who} says {_listed(one.roles)}"
        for who, one in readings.items()
        if len(one.roles) == 1 and role not in one.possible
    ]
    return _voices([f"{said_by} says {role}", *named], against, frozenset({role})) if against or named else ""


def _description(names: Mapping[str, str], parameters: Mapping[str, Any]) -> dict[str, str]:
    if DESCRIPTION in names:
        return {}
    texts = (str(parameters.get(field) or "") for field in _DESCRIPTIONS)
    return {DESCRIPTION: next((text for text in texts if read_name(text).weighting), "")}


def _together(heard: Mapping[str, str]) -> NameReading:
    """Return what several names say together; where they differ, it is all of it.

    A file's own name says what it is better than its folder's does. A folder of images after contrast agent may hold
    native ones too, or those after an operation: then a T1 that is silent may be either.
    """
    readings = {who: read_name(text) for who, text in heard.items()}
    others = [reading for who, reading in readings.items() if who != FOLDER]
    weighting = frozenset[RawRole]().union(*(one.weighting for one in others))
    contrast = frozenset[RawRole]().union(*(one.contrast for one in others))
    folder = readings.get(FOLDER, NameReading(frozenset()))
    if not weighting:
        return NameReading(folder.weighting, contrast | folder.contrast)
    if not readings.get(NAME, NameReading(frozenset())).weighting and weighting != {RawRole.OTHER}:
        weighting |= folder.weighting - {RawRole.OTHER}
    if folder.contrast == {RawRole.T1CE} and any(one.silent_t1 for one in others) and not contrast:
        return NameReading(weighting, T1_WEIGHTED)
    return NameReading(weighting, contrast | folder.contrast)


def _judged(reading: NameReading, heard: Mapping[str, str], hints: Sequence[Hint]) -> Recognition:
    allowed = reduce(frozenset.__and__, (hint.allowed for hint in hints), ALL_ROLES)
    if not reading.weighting:
        return Recognition(allowed if len(allowed) == 1 else frozenset())
    derived = [hint.text for hint in hints if hint.derived]
    if derived and not reading.roles & MASKS:
        return Recognition(frozenset({RawRole.OTHER}), reason=f"is no weighting of its own ({derived[0]})")
    roles = reading.possible & allowed if not reading.roles <= MASKS | {RawRole.OTHER} else reading.roles
    if reading.silent_t1 and RawRole.T1 in roles:
        roles -= {RawRole.T1CE}
    if not roles:
        against = [hint for hint in hints if not reading.possible & hint.allowed] or list(hints)
        said = [f"{who} {text!r} says {_says(text)}" for who, text in heard.items()]
        return Recognition(reading.roles | _meant(against, reading.roles), reason=_voices(said, against, reading.roles))
    return Recognition(roles, reason=_ambiguity(roles, heard) if len(roles) > 1 else "")


def _ambiguity(roles: frozenset[RawRole], heard: Mapping[str, str]) -> str:
    text = f"can be {_listed(roles)}"
    if len(heard) < 2:
        return text
    return f"{text}: " + ", ".join(f"{who} {text!r} says {_says(text)}" for who, text in heard.items())


def _says(text: str) -> str:
    reading = read_name(text)
    return _listed(reading.roles) or f"{'after' if RawRole.T1CE in reading.contrast else 'before'} contrast agent"


def _voices(said: Sequence[str], against: Sequence[Hint], roles: frozenset[RawRole]) -> str:
    others = [f"{hint.text} says {_listed(_meant([hint], roles))}" for hint in against]
    return ", ".join([*said, *others])


def _meant(hints: Sequence[Hint], roles: frozenset[RawRole]) -> frozenset[RawRole]:
    """Return what hints say against some roles: of contrast agent, that a T1 is a T1ce."""
    allowed = reduce(frozenset.__and__, (hint.allowed for hint in hints), ALL_ROLES) - MASKS
    return frozenset({RawRole.T1CE}) if roles & T1_WEIGHTED and len(allowed) > 3 else allowed


def _listed(roles: frozenset[RawRole]) -> str:
    return " or ".join(role for role in RawRole if role in roles)
