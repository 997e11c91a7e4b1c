"""What a name says an image is: a file, a folder, the description of a series."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import utad_monai.data.sequences.vocabulary as words
from utad_monai.data.sequences.role import T1_WEIGHTED, RawRole

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


@cache
def read_name(text: str) -> NameReading:
    """Read a name.

    Args:
        text: a file or folder name without its ending, a description or a protocol; also with BIDS entities.
    """
    parts = [part for part in _parts(_rewritten(text)) if part]
    found = frozenset(parts)
    contrast = frozenset[RawRole]().union(*_contrast(parts))
    return NameReading(_drawn(found) or _weighting(found), contrast)


# ---- from a name to its words ----
_SILENT_ENTITIES = re.compile(
    r"(?:(?<=_)|^)(?:ses|run|space|res|den|hemi|split|chunk|dir|task|from|to|mode|sample|tracksys|nuc|voi|hash)-[a-z0-9+.]+(?=_|$)"
)
_SUBJECT = re.compile(r"(?:(?<=_)|^)sub-(?!(?:t1|t2|flair)[a-z]*(?:_|$))[A-Za-z0-9]+(?=_|$)|(?<![a-z])sub[\s_-]*\d+")
_AGENT_ENTITY = re.compile(r"(?:(?<=_)|^)ce-(?!t[12]|flair)([a-z0-9+.]+)(?=_|$)")
_ENTITY = re.compile(r"(?:(?<=_)|^)(?:acq|rec|mod|part|desc|label|proc|recording|flip)-(?=[a-z0-9])")
_SEQUENCE = r"(?:t1|t2|flair|pd|dwi|adc|mprage|mni|sri|atlas|ref)"
_VISIT = words.VISITS
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"wash[\s-]*(?:in|out)|first[\s-]*pass|time[\s-]*to[\s-]*peak", " perfusion "),
        # beside what it lies: `FLAIR_to_T1`, `flair2t1`, `T2_in_T1_space`
        (
            rf"(?<=[a-z0-9])[\s-]*(?:(?:co)?reg\w*|aligned|warped|resampled)?[\s-]+(?:to|onto|on|in)[\s-]+{_SEQUENCE}[a-z0-9]*(?:[\s-]*space)?",
            " ",
        ),
        (rf"(flair|t[12](?:ce|c|gd|w)?|adc|pd|reg)(?:2|to){_SEQUENCE}[a-z0-9]*", r"\1 "),
        (r"native[\s-]*space", " "),
        # numbers with units, angles
        (r"\d+(?:[.,]\d+)?\s*[cm]m(?![a-z])", " "),
        (r"(?<![a-z])fa\s*=?\s*\d+", " "),
        # visits
        (
            r"(?<![a-z])(?:pre|post|intra|peri|inter|before|after|nach|vor|apres|avant|dopo|prima|tras|despues|antes|na|voor|"
            r"pos|apos|depois|po|przed|prior|follow(?:ing)?)[\s.-]*(?:to\s+|the\s+|de\s+|la\s+|le\s+|del\s+|l')?"
            rf"(?:\d+(?:st|nd|rd|th|\.)?[\s-]*)?(?:{_VISIT})[a-z]*",
            " visit ",
        ),
        (
            r"(?<![a-z])(?:post|pre)[\s-]*(?:day|week|month|year|tag|woche|monat|jour|mois)\w*|"
            r"(?<![a-z])(?:post|pre)[\s-]*\d+[\s-]*(?:h|w|m|y|hr|hrs|mo|mos|hour|day|wk|week|month|yr|year|tag|woche|monat|jahr|"
            r"jour|semain|mois|dia|seman|mes|giorn|settiman)[a-z]*(?![a-z0-9])|"
            r"\d+[\s-]*(?:h|hr|hrs|mo|mos|hour|day|wk|week|month|yr|year)s?[\s-]*post",
            " unsure ",
        ),
        # contrast agent in signs
        (r"w/?\s*(?:and|&|\+|/|\s)\s*w/?o(?![a-z])|with\s*(?:/|&|and)\s*without|\+\s*/\s*-|±|-\s*/\s*\+", " unsure "),
        (r"\+\s*(?:c|k|ce|gd|gad|gado|km|mdc|iv|contrast\w*|kontrast\w*)(?![a-z])", " contrast "),
        (r"(?<![a-z0-9])(?:c|k|ce|gd|gad|gado|km|mdc|iv)\s?\+", " contrast "),
        (r"(?<![a-z0-9])(?:c|k)-(?=\s|$|\))", " without contrast "),
        (r"(?<![a-z0-9])(?:gd|gad|gado|km|mdc|ce)-(?=\s*$)|\(\s*[+-]\s*\)|(?<=t1)w?\s*\+(?=\s|$)", " unsure "),
        (r"(?<![a-z])s/\s*c(?![a-z])", " without contrast "),
        (r"(?<![a-z])c/\s*c(?![a-z])", " contrast "),
        (r"(?<![a-z])(?:w/o|s/)", " without "),
        (r"(?<![a-z])(?:w/|c/)", " with "),
        # sequences
        (r"fat[\s.-]*(?:sat|sup)\w*", " fs "),
        (r"dark[\s-]*fl(?:uid)?|(?<![a-z])da[\s-]*fl(?![a-z])|fluid[\s-]*(?:att\w*|supp\w*)", " flair "),
        (r"brain\s*lab(?:[\s-]*mask)?", " "),
        (r"t2w?\s*\*|t2[\s-]*star", " t2star "),
        (r"(?<![a-z0-9])t1[\s-]+images?(?![a-z])|mp2rage[\s-]+t1$", " t1map "),
        (r"(?<![a-z])[ctl][\s-]*spine|(?<![a-z])[ctl]\s*/\s*[tl][\s-]*spine", " spine "),
        (r"(?:in|out|out[\s-]*of|opp|opposed)[\s-]*phase", " inphase "),
        (r"proton[\s-]*dens\w*|(?:dual|double|doppel)[\s-]*e(?:cho|ko)", " pd "),
        (r"mp[\s-]*rage", " mprage "),
        (r"(?:gradient|grad)[\s-]*echo", " gre "),
        (r"(?<![a-z])(echo|inv)[\s-]*(\d)(?!\d)", r" \1\2 "),
        (r"whole[\s-]*body", " wholebody "),
        (r"(?:first|1st)[\s-]*echo", " echo1 "),
        (r"(?:second|2nd)[\s-]*echo", " echo2 "),
        (r"magneti[sz]ation[\s-]*transfer", " mtc "),
        (r"double[\s-]*inversion", " dir "),
        (r"cine|fly[\s-]*through", " dynamic "),
        (r"ground[\s-]*truth", " truth "),
    )
)
_ABBREVIATION = re.compile(r"(?<![a-z])(?:[a-z]\.){2,}[a-z]?(?![a-z])")
"""Letters with dots between them, such as `c.i.v.`."""
_LETTERS = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d"})


def _rewritten(text: str) -> str:
    """Return a name in lower case, without accents and BIDS entities that say nothing, its phrases as words."""
    text = _SUBJECT.sub("", text)
    text = unicodedata.normalize("NFKD", text.casefold()).translate(_LETTERS)
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    text = _SILENT_ENTITIES.sub("", text)
    text = _AGENT_ENTITY.sub(lambda match: f" {_agent_of_entity(match[1])} ", text)
    text = _ENTITY.sub("", text)
    text = _ABBREVIATION.sub(lambda match: f" {match[0].replace('.', '')} ", text.replace("_", " "))
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text


def _agent_of_entity(value: str) -> str:
    """Return the words of a `ce-` entity: it names an agent, or says that there was none."""
    if value in words.NEGATIONS | words.BEFORE_ALONE | {"0", "na", "c0"} or read_name(value).contrast == _NATIVE:
        return "without contrast"
    return "unsure" if value in ("unknown", "unk", "mixed") else "contrast"


def _parts(text: str) -> Iterator[str]:
    for word in re.split(r"[^a-z0-9]+", text):
        yield from _joined(word)


_WEIGHTED = re.compile(
    r"(?P<before>[a-z]{0,3}?)(?P<which>t[12])(?P<w>w|wi|we|weighted)?(?P<after>[a-z]*)(?:_?(?:3d|2d))?"
)
_T1_ENDINGS = {"c": "contrast", "ce": "contrast", "cm": "contrast", "k": "contrast", "iv": "contrast", "pc": "contrast"}
_T1_BEGINNINGS = {"c": "unsure", "k": "unsure", "g": "unsure", "ce": "contrast", "gd": "contrast", "km": "contrast"}
_T1_ENDINGS |= {"n": "native", "nc": "native", "post": "post", "pre": "pre"}
_AGENT_INSIDE = {"t1c": ("t1", "contrast"), "t1ce": ("t1", "contrast"), "t2f": ("flair",)}


def _joined(word: str) -> Iterator[str]:
    """Yield the words that a word is made of; itself when it is one, or is made of none."""
    if not word:
        return
    if _is_known(word):
        yield word
    elif pieces := _pieces(word):
        for piece in pieces:
            yield from _AGENT_INSIDE.get(piece, (piece,))
    elif match := _WEIGHTED.fullmatch(word):
        yield from _weighted(match)
    elif "flair" in word:
        yield "flair"
    else:
        yield word


def _weighted(match: re.Match[str]) -> Iterator[str]:
    """Yield the words of a `T1` or `T2` with letters around it, such as `eT1W`, `cT1` and `T1CE`."""
    which, before, after = match["which"], match["before"], match["after"]
    if before == "q":
        yield "quantitative"
    yield which
    if which == "t2":
        yield "doubt" if after not in ("", "fs", "se") else ""
        return
    ending = _T1_ENDINGS.get(after, "unsure" if after else "")
    yield ending or _T1_BEGINNINGS.get(before, "")


@cache
def _is_known(word: str) -> bool:
    return word in words.PLAIN or bool(words.CONTRAST.fullmatch(word) or words.NATIVE.fullmatch(word))


@cache
def _pieces(word: str) -> tuple[str, ...]:
    """Return the known words that make a word without a rest, the longest first; none when they do not."""
    for piece in words.JOINED:
        if word == piece:
            return (piece,)
        if word.startswith(piece) and (rest := _pieces(word[len(piece) :])):
            return (piece, *rest)
    return ()


# ---- from words to their meaning ----
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
    if word == "unsure" or (word == "c" and before not in words.WITH):
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
    if labels or (masks and tumour):
        return frozenset({RawRole.SEGMENTATION})
    if masks:
        weighting = frozenset() if brain else _weighting(found)
        return weighting | {RawRole.BRAIN_MASK}
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
    if t1 and "pc" in found:
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
    return bool(found & words.OTHER_SEQUENCES) or diffusion
