"""Label sets: what the values of a segmentation mean, under names that users can say."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from utad_monai.data.quality.finding import CohortError
from utad_monai.keys import TumourLabel


class LabelMeaning(StrEnum):
    """What a label value stands for; the regions are those of the BraTS challenges."""

    NECROTIC = "necrotic"
    """Necrotic or non-enhancing tumour (NCR, NETC, NET): tumour core."""
    OEDEMA = "oedema"
    """Oedema and infiltration (ED, SNFH): whole tumour alone."""
    ENHANCING = "enhancing"
    """Enhancing tumour (ET)."""
    CYST = "cyst"
    """Cystic component (CC of BraTS-PED): tumour core, never enhancing."""
    CAVITY = "cavity"
    """Resection cavity (RC): no tumour, in no region."""
    IGNORE = "ignore"
    """Something else that is no tumour."""

    @property
    def canonical(self) -> TumourLabel:
        """The label inside this project: it decides the regions."""
        return _CANONICAL[self]


_CANONICAL = {
    LabelMeaning.NECROTIC: TumourLabel.NECROTIC,
    LabelMeaning.OEDEMA: TumourLabel.OEDEMA,
    LabelMeaning.ENHANCING: TumourLabel.ENHANCING,
    LabelMeaning.CYST: TumourLabel.NECROTIC,
    LabelMeaning.CAVITY: TumourLabel.BACKGROUND,
    LabelMeaning.IGNORE: TumourLabel.BACKGROUND,
}


@dataclass(frozen=True)
class LabelSet:
    """What each label value of a cohort means.

    Attributes:
        name: how users say it; empty for a mapping of their own.
        title: whose it is.
        words: meaning of each value other than 0.
    """

    name: str
    title: str
    _: KW_ONLY
    words: Mapping[int, LabelMeaning]

    def __hash__(self) -> int:
        return hash((self.name, self.title))

    @property
    def meanings(self) -> dict[int, TumourLabel]:
        """The canonical label of each value other than 0."""
        return {value: word.canonical for value, word in self.words.items()}

    @property
    def description(self) -> str:
        """Its values and their meanings, such as `1 necrotic, 2 oedema, 4 enhancing`."""
        return ", ".join(f"{value} {word}" for value, word in self.words.items())

    def no_tumour(self, values: Iterable[int]) -> dict[int, LabelMeaning]:
        """Return those of some values that are in no region: cavities, and what is ignored."""
        return {v: self.words[v] for v in values if v in self.words and not self.words[v].canonical}

    def as_data(self) -> dict[str, Any]:
        """Return plain data from which `label_set_of` makes the set again."""
        if self.name:
            return {LABEL_SET_KEY: self.name}
        return {LABEL_SET_KEY: {str(value): str(word) for value, word in self.words.items()}}


_N, _O, _E = LabelMeaning.NECROTIC, LabelMeaning.OEDEMA, LabelMeaning.ENHANCING
BRATS_2017_TO_2021_LABELS = LabelSet("brats2020", "BraTS 2017-2021", words={1: _N, 2: _O, 4: _E})
BRATS_2023_LABELS = LabelSet("brats2023", "BraTS 2023", words={1: _N, 2: _O, 3: _E})
BRATS_2024_LABELS = LabelSet(
    "brats2024", "BraTS 2024 and later, after treatment", words={1: _N, 2: _O, 3: _E, 4: LabelMeaning.CAVITY}
)
BRATS_PED_LABELS = LabelSet("brats-ped", "BraTS-PED", words={1: _E, 2: _N, 3: LabelMeaning.CYST, 4: _O})
BRATS_MET_LABELS = LabelSet("brats-met", "BraTS-MET", words={1: _N, 2: _O, 3: _E, 4: LabelMeaning.CAVITY})
MSD_LABELS = LabelSet("msd", "MSD Task01", words={1: _O, 2: _N, 3: _E})
UCSF_PDGM_LABELS = LabelSet("ucsf-pdgm", "UCSF-PDGM", words={1: _N, 2: _O, 4: _E})
LABEL_SETS = {
    one.name: one
    for one in (
        BRATS_2017_TO_2021_LABELS,
        BRATS_2023_LABELS,
        BRATS_2024_LABELS,
        BRATS_PED_LABELS,
        BRATS_MET_LABELS,
        MSD_LABELS,
        UCSF_PDGM_LABELS,
    )
}
"""Every published set by its name."""

LABEL_SET_KEY = "label_set"
"""Key of a JSON file, and column of a table, whose value names a set; in JSON it may map values to meanings. The file
in a cohort's folder that says its label set is called by it, with `.json` or `.csv`."""
DATASET_FILE = "dataset.json"
"""Description of a task of the Decathlon or of nnU-Net, with names of channels and labels."""
SAY_THE_LABEL_SET = (
    'say it: put label_set.json with {"label_set": NAME} or {"1": "necrotic", "2": "oedema", "4": "cavity", ...} into '
    "the cohort's folder, or give --label-set NAME-OR-FILE (key label_set of bundles)"
)
"""What to do where several sets fit."""
MAX_LABEL_FILE_BYTES = 1 << 20
_MOST_DIGITS = 6
"""A longer number counts no labels."""
_LARGEST_VALUE = 1000

_OFFICIAL_NAMES = (
    (r"brats-ped-", BRATS_PED_LABELS),
    (r"brats-met-", BRATS_MET_LABELS),
    (r"brats-gli-\d+-[1-9]\d\d", BRATS_2024_LABELS),  # time points from 100 on are scans after treatment
    (r"brats-[a-z]+-(rt-)?\d+", BRATS_2023_LABELS),
    (r"brats(20)?(17|18|19|20|21)_|upenn-gbm-|ucsf-pdgm-", BRATS_2017_TO_2021_LABELS),
)
_NAMES_OF_MEANINGS = (
    (r"^ignored?$", LabelMeaning.IGNORE),
    (r"cavity|resect|^rc$", LabelMeaning.CAVITY),
    (r"cyst|^cc$", LabelMeaning.CYST),
    (r"edema|^ed$|snfh|flair|whole|^wt$", LabelMeaning.OEDEMA),
    (r"^non|non.?enh|necro|ncr|^netc?$|core|^tc$", LabelMeaning.NECROTIC),
    (r"enhanc|^et$", LabelMeaning.ENHANCING),
)
"""Words of the field for each meaning; the first that fits decides. Whole tumour and core are regions of nnU-Net."""
_INNERMOST_FIRST = (_E, LabelMeaning.CAVITY, LabelMeaning.CYST, LabelMeaning.IGNORE, _N, _O)
"""Which of several names of one value says most: regions that hold each other all name it."""


def label_set_of_name(name: str) -> LabelSet | None:
    """Return the set that an official case name or path says; None for other names."""
    lowered = name.casefold()
    return next((found for pattern, found in _OFFICIAL_NAMES if re.search(rf"(^|/){pattern}", lowered)), None)


def meaning_of_name(name: str) -> LabelMeaning | None:
    """Return what a label's name says, such as `NETC`, `peritumoral edema` or `resection cavity`; None if unknown."""
    lowered = name.strip().casefold()
    return next((word for pattern, word in _NAMES_OF_MEANINGS if re.search(pattern, lowered)), None)


def label_set_of(content: Any, title: str) -> LabelSet:
    """Return the set that plain data says.

    Args:
        content: a name; values and what they mean (`{"4": "cavity"}`); the reverse, where a name may have a list of
            values (nnU-Net's regions); or an object with any of these under `label_set` or `labels`.
        title: where it comes from.

    Raises:
        ValueError: when it says no set, or a label has a name without a known meaning.
    """
    if isinstance(content, str):
        if content not in LABEL_SETS:
            raise ValueError(f"{content!r} is no label set: known are {', '.join(LABEL_SETS)}")
        return LABEL_SETS[content]
    if not isinstance(content, Mapping):
        raise ValueError("it says no label set")
    for key in (LABEL_SET_KEY, "labels"):
        if key in content:
            return label_set_of(content[key], title)
    words = {value: _meaning(value, names) for value, names in names_of_values(content).items() if value}
    if not words:
        raise ValueError("it says no label set")
    return next((one for one in LABEL_SETS.values() if one.words == words), LabelSet("", title, words=words))


def names_of_values(content: Mapping[Any, Any]) -> dict[int, list[str]]:
    """Return the names of each label value, whichever of both is the key; regions of nnU-Net share values.

    Raises:
        ValueError: when an entry has neither a value nor a list of values.
    """
    names: dict[int, list[str]] = {}
    for key, entry in content.items():
        if _is_number(str(key)):
            names.setdefault(int(key), []).append(str(entry))
            continue
        for value in entry if isinstance(entry, list) else [entry]:
            if not isinstance(value, int) or not 0 <= value <= _LARGEST_VALUE:
                raise ValueError(f"{str(key)!r}: {value!r} is no label value and no meaning")
            names.setdefault(value, []).append(str(key))
    return dict(sorted(names.items()))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


def meaning_of_names(names: Iterable[str]) -> LabelMeaning | None:
    """Return the meaning of a value with these names, of which the innermost region decides; None if unknown."""
    words = [meaning_of_name(name) for name in names]
    known = [word for word in words if word]
    return min(known, key=_INNERMOST_FIRST.index) if len(known) == len(words) and known else None


def _meaning(value: int, names: list[str]) -> LabelMeaning:
    found = meaning_of_names(names)
    if found is None:
        shown = ", ".join(map(repr, names))
        raise ValueError(f"label {value} is {shown}, which is none of {', '.join(LabelMeaning)}")
    return found


def read_label_set(path: Path) -> LabelSet:
    """Return the set that a file says: JSON as `label_set_of` takes it, or a CSV table of values and meanings.

    Raises:
        CohortError: when it cannot be read, or says no set.
    """
    try:
        if not path.is_file() or path.stat().st_size > MAX_LABEL_FILE_BYTES:
            raise ValueError("it is too large, or no file")
        text = path.read_text(encoding="utf-8-sig")
        content = _rows(text) if path.suffix.lower() == ".csv" else json.loads(text)
        return label_set_of(content, path.name)
    except (OSError, ValueError, RecursionError) as error:
        remedy = 'write {"label_set": NAME} or {"1": "necrotic", "2": "oedema", "3": "enhancing", "4": "cavity"}'
        raise CohortError.of(path, f"is no label set ({error})", remedy) from error


def _rows(text: str) -> dict[str, str]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(map(str.strip, row))]
    if rows and not _is_number(rows[0][0]):
        rows = rows[1:]  # the header
    if any(len(row) != 2 or not _is_number(row[0]) for row in rows) or len({row[0] for row in rows}) < len(rows):
        raise ValueError("it needs two columns, value and meaning, and each value once")
    return {row[0]: row[1] for row in rows}


def label_set_file(folder: Path) -> Path | None:
    """Return the `label_set.json` or `label_set.csv` in a cohort's folder, if there is one.

    Raises:
        CohortError: when there are two.
    """
    found = [path for ending in (".json", ".csv") if (path := folder / f"{LABEL_SET_KEY}{ending}").exists()]
    if len(found) > 1:
        raise CohortError.of(found[1], f"is there beside {found[0].name}", "keep one of them")
    return found[0] if found else None


def sidecar_of(segmentation: Path) -> Path:
    """Return where the JSON sidecar of a segmentation would be."""
    return segmentation.with_name(re.sub(r"\.nii(\.gz)?$|\.[^.]+$", "", segmentation.name) + ".json")


def label_set_of_sidecar(segmentation: Path) -> LabelSet | None:
    """Return the set that the sidecar of a segmentation says under `label_set`; None when it says none.

    Raises:
        CohortError: when what it says is no set.
    """
    path = sidecar_of(segmentation)
    try:
        if not path.is_file() or path.stat().st_size > MAX_LABEL_FILE_BYTES:
            return None
        says = f'"{LABEL_SET_KEY}"' in path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):  # whatever it is, it says nothing of labels
        return None
    return read_label_set(path) if says else None


def said_label_set(said: str | Path) -> LabelSet:
    """Return the set that a user names: a name of `LABEL_SETS`, or a file.

    Raises:
        CohortError: when it is neither.
    """
    if str(said) in LABEL_SETS:
        return LABEL_SETS[str(said)]
    path = Path(said)
    if path.suffix.lower() in (".json", ".csv"):
        return read_label_set(path)
    reason = "is no label set"
    raise CohortError.of(said, reason, f"name one of {', '.join(LABEL_SETS)}, or a .json or .csv file of your own")
