"""From a name to its words: entities, accents, signs and phrases are read, and joined words are taken apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import utad_monai.data.sequences.vocabulary as words

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
        (r"(?<![a-z])(?:mit|avec|with)\s*$|(?<![a-z])s[\s-]+(?=civ|contr|gad)", " unsure "),
        (r"(?<=\s)-\s*(?=(?:gd|gad|gado|km|mdc|contrast)(?![a-z]))", " unsure "),
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
        (r"(?<![a-z])[ctl][\s-]*sp(?:ine)?(?![a-z])|(?<![a-z])[ctl]\s*/\s*[tl][\s-]*spine", " spine "),
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
_LONGEST = 255
"""Characters of a name that are read: no file name is longer, only a text that somebody made up."""
_LETTERS = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d"})


def words_of(name: str) -> list[str]:
    """Return the words of a name, in order, in lower case and without accents.

    What is a phrase or a sign becomes a word of `vocabulary`: `+C` is `contrast`, `w/o` is `without`, `post-op` is
    `visit`, and what may mean contrast agent is `unsure`.
    """
    return [part for word in re.split(r"[^a-z0-9]+", _rewritten(name[:_LONGEST])) for part in _joined(word) if part]


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


_NO_AGENT = re.compile(r"(?:pre|before|non?|not|without|wo)(?:gd|gad\w*|contrast\w*|km|ce|c|inj\w*)?|0|c0|na")


def _agent_of_entity(value: str) -> str:
    """Return the words of a `ce-` entity: it names an agent, or says that there was none."""
    if value in words.NEGATIONS or _NO_AGENT.fullmatch(value) or words.NATIVE.fullmatch(value):
        return "without contrast"
    return "unsure" if value in ("unknown", "unk", "mixed") else "contrast"


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
    elif re.search(r"[ck]ontras|gado", word):
        yield "unsure"
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


@lru_cache(1 << 14)
def _is_known(word: str) -> bool:
    return word in words.PLAIN or bool(words.CONTRAST.fullmatch(word) or words.NATIVE.fullmatch(word))


@lru_cache(1 << 14)
def _pieces(word: str) -> tuple[str, ...]:
    """Return the known words that make a word without a rest, the longest first; none when they do not."""
    for piece in words.JOINED:
        if word == piece:
            return (piece,)
        if word.startswith(piece) and (rest := _pieces(word[len(piece) :])):
            return (piece, *rest)
    return ()
