"""What a name says an image is: a file, a folder, the description of a series."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import utad_monai.data.sequences.vocabulary as words
from utad_monai.data.sequences.role import T1_WEIGHTED, RawRole
from utad_monai.data.sequences.words import words_of
from utad_monai.keys import Modality, ModalitySet

_NATIVE, _ENHANCED = frozenset({RawRole.T1}), frozenset({RawRole.T1CE})


@dataclass(frozen=True)
class NameReading:
    """What one name, or several together, say.

    Attributes:
        weighting: what the image may be; `T1` is T1-weighted, whatever was given. Empty when nothing is said.
        contrast: of `T1` and `T1CE`, what is said of contrast agent; empty when nothing is said.
    """

    weighting: frozenset[RawRole]
    contrast: frozenset[RawRole] = frozenset()

    @property
    def speaks(self) -> bool:
        """Whether anything is said."""
        return bool(self.weighting or self.contrast)

    @property
    def silent_t1(self) -> bool:
        """Whether it is T1-weighted, and nothing is said of contrast agent: native, unless somebody knows better."""
        return RawRole.T1 in self.weighting and not self.contrast

    @property
    def roles(self) -> frozenset[RawRole]:
        """What the image is by its name: none, one, or several where it can be read in several ways."""
        if RawRole.T1 not in self.weighting:
            return self.weighting
        return (self.weighting - T1_WEIGHTED) | (self.contrast or _NATIVE)

    @property
    def possible(self) -> frozenset[RawRole]:
        """What it may be all the same: a T1 without a word of contrast agent may have had some."""
        return self.roles | (T1_WEIGHTED if self.silent_t1 else frozenset())


@lru_cache(1 << 14)
def read_name(text: str) -> NameReading:
    """Read a name.

    Args:
        text: a file or folder name without its ending, a description or a protocol; also with BIDS entities.
    """
    parts = words_of(text)
    found = frozenset(parts)
    contrast = frozenset[RawRole]().union(*_contrast(parts))
    return NameReading(_drawn(found) or _weighting(found), contrast)


def modality_called(name: str, modalities: ModalitySet) -> Modality:
    """Return the modality that a person means: by its name in any case, or another name for it (`T1Gd`, `t1c`, `T2w`).

    Raises:
        ValueError: when it is none of the modalities, or could be several.
    """
    said = str(name).strip().lower()
    if said in modalities:
        return modalities.named(said)
    meant = {role.modality for role in read_name(str(name)).roles}
    if len(meant) == 1 and meant <= set(modalities):
        return modalities.named(str(*meant))
    raise ValueError(f"{str(name)!r} is no modality here; choose one of {', '.join(modalities)}")


def _contrast(parts: Sequence[str]) -> Iterator[frozenset[RawRole]]:
    """Yield what each word says of contrast agent, a negation together with the word that it is about."""
    place = 0
    while place < len(parts):
        word, before, after = parts[place], parts[place - 1] if place else "", parts[place + 1 :]
        place += 1
        if word in words.NEGATIONS | words.BEFORE_ALONE:
            negated = _negated(after)
            place += negated
            if negated or _is_last_word(word, after):
                yield _NATIVE
        else:
            yield _of_contrast(word, before)


def _negated(after: Sequence[str]) -> int:
    """Return how many words up to one of contrast agent a negation is about; 0 when it is about something else."""
    for number, word in enumerate(after):
        agent_follows = any(_says_contrast(each) for each in after[number + 1 : number + 2])
        if (_says_contrast(word) or word in ("c", "con")) and not (word in words.FILLERS and agent_follows):
            return number + 1
        if word not in words.FILLERS:
            return 0
    return 0


def _is_last_word(word: str, after: Sequence[str]) -> bool:
    """Tell whether a negation speaks of contrast agent by itself: `T1 pre`, `T1 without`, `sans et avec gado`."""
    alone = word in words.NEGATIONS_ALONE and (not after or after[0] in words.WITH | words.FILLERS)
    return alone or word in words.BEFORE_ALONE


def _of_contrast(word: str, before: str) -> frozenset[RawRole]:
    """Return what one word says of contrast agent, given the word before it."""
    if words.NATIVE.fullmatch(word):
        return _NATIVE
    if word in words.UNSURE and not (word == "c" and before in words.WITH):
        return T1_WEIGHTED
    with_agent = word == "c" or (word == "con" and before in words.WITH - {"con", "met", "com"})
    return _ENHANCED if with_agent or _says_contrast(word) or word in words.AFTER_ALONE else frozenset()


def _says_contrast(word: str) -> bool:
    return bool(words.CONTRAST.fullmatch(word)) and not words.NATIVE.fullmatch(word)


def _drawn(found: frozenset[str]) -> frozenset[RawRole]:
    """Return what a name of a mask or segmentation says; empty for a name of an image."""
    masks, labels = found & words.MASK_WORDS, found & words.SEGMENTATIONS
    tumour, brain = found & words.TUMOUR_WORDS, found & words.BRAIN_WORDS
    if found & words.TISSUE_WORDS and (masks or labels or found & {"aseg", "aparc", "pve", "probseg", "parcellation"}):
        return frozenset({RawRole.OTHER})
    if labels and brain and not tumour:
        return frozenset({RawRole.SEGMENTATION, RawRole.BRAIN_MASK})
    if labels or (masks and tumour) or (masks and found & words.TUMOUR_PARTS and not brain):
        return frozenset({RawRole.SEGMENTATION})
    if masks and not brain:
        strange = {
            word
            for word in found - masks - words.BESIDE_A_MASK - words.JOINED_WORDS
            if len(word) > 3 and word.isalpha()
        }
        return _weighting(found) | {RawRole.BRAIN_MASK} | ({RawRole.SEGMENTATION} if strange - words.PLAIN else set())
    if masks:
        return frozenset({RawRole.BRAIN_MASK})
    only_tumour = all(word in words.TUMOUR_WORDS | words.TUMOUR_PARTS or word.isdigit() for word in found)
    return frozenset({RawRole.SEGMENTATION}) if tumour and only_tumour else frozenset()


def _weighting(found: frozenset[str]) -> frozenset[RawRole]:
    t1 = bool(found & {"t1", "t1w", "t1wi"} or found & words.T1_SEQUENCES)
    t2 = bool(found & {"t2", "t2w", "t2wi"} or found & words.T2_SEQUENCES)
    flair = bool(found & words.FLAIR_WORDS)
    if _is_other(found, t1, t2):
        return frozenset({RawRole.OTHER})
    roles = {RawRole.FLAIR} if flair else set()
    if t1:
        roles.add(RawRole.T1)
    if t2 and not flair:
        roles.add(RawRole.T2)
    if found & words.INVERSION_WORDS - ({"ir"} if not t2 else set()) and not t1 and not flair:
        roles |= {RawRole.FLAIR, RawRole.OTHER}
    if roles and (found & words.DOUBTFUL or "doubt" in found):
        roles.add(RawRole.OTHER)
    if t1 and found & {"pc", *words.MAGNETISATION_TRANSFER}:
        roles.add(RawRole.OTHER)
    return frozenset(roles)


def _is_other(found: frozenset[str], t1: bool, t2: bool) -> bool:
    if found & words.OTHER_BODY:
        return True
    if found & {"dixon", "mdixon", "qdixon"} and found & words.NOT_WATER and not found & words.WATER:
        return True
    star = found & (words.T2_STAR_WORDS if t2 else words.T2_STAR_ALONE)
    if star and not t1:
        return True
    diffusion = any(re.fullmatch(r"b\d+", word) for word in found)
    others = found & words.OTHER_SEQUENCES
    if t1 and any(_says_contrast(word) for word in found):
        others -= words.MAGNETISATION_TRANSFER
    return bool(others) or diffusion
