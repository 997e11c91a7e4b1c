"""Which label set the segmentations of a cohort follow: who says so, and when the user is asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from torch import Tensor

from utad_monai.data.layouts.label_sets import (
    BRATS_2017_TO_2021_LABELS,
    BRATS_2023_LABELS,
    BRATS_2024_LABELS,
    BRATS_PED_LABELS,
    MSD_LABELS,
    LabelMeaning,
    LabelSet,
)
from utad_monai.transforms.labels import whole_labels

_USUAL = (BRATS_2017_TO_2021_LABELS, BRATS_2023_LABELS)
"""What a segmentation is taken for where nobody says more and no value contradicts."""
_ASKED = (*_USUAL, BRATS_2024_LABELS, BRATS_PED_LABELS, MSD_LABELS)
"""The sets that a question names."""
_KNOWN_VALUES = frozenset(value for one in _ASKED for value in one.words)
_LOOKED_AT = 9
"""Segmentations, spread over the cohort, whose shape is looked at."""

Voxels = Callable[["AskedLabels"], Tensor | None]
"""Reads a segmentation; None when it cannot be read."""


@dataclass(frozen=True)
class LabelChoice:
    """A label set, and who decided.

    Attributes:
        label_set: the set.
        because: who or what says so, such as `the case names`.
    """

    label_set: LabelSet
    because: str


@dataclass(frozen=True)
class AskedLabels:
    """A segmentation whose label set is to be found.

    Attributes:
        case_id: its case.
        path: the file.
        said: what decides alone: the user, a file beside it, or an official name that nothing contradicts.
        voices: what else speaks: its layout, and a name that says something else.
    """

    case_id: str
    path: Path
    _: KW_ONLY
    said: LabelChoice | None = None
    voices: tuple[LabelChoice, ...] = ()


@dataclass(frozen=True)
class LabelQuestion:
    """What only the user can tell: several sets fit the segmentations of some cases.

    Attributes:
        case_ids: the cases.
        text: what was seen and which sets fit, in one phrase.
    """

    case_ids: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class _Seen:
    """What the segmentations of a group hold.

    Attributes:
        values: label values of each file.
        depths: of some files, the mean depth of each value inside the labelled whole, in voxels.
    """

    values: tuple[frozenset[int], ...]
    depths: tuple[dict[int, float], ...] = field(default=())

    @property
    def every(self) -> frozenset[int]:
        return frozenset().union(*self.values)

    def mostly(self, test: Callable[[dict[int, float]], bool], needed: Iterable[int]) -> bool:
        """Tell whether a test holds for most of the files that have all the needed values."""
        found = [test(depth) for depth in self.depths if set(needed) <= set(depth)]
        return bool(found) and 2 * sum(found) > len(found)


def choose_label_sets(
    asked: Sequence[AskedLabels], voxels_of: Voxels, map_files: Any = map
) -> tuple[dict[str, LabelChoice], list[LabelQuestion]]:
    """Find the label set of each segmentation; files are opened only where names do not say it.

    What the user says comes first, then a file beside the segmentation, then official names; then the layout and the
    values of all files of the same kind must leave one reading. The shape of labels may object, and never decides
    against a value: a cavity is never taken for enhancing tumour because it fits.

    Args:
        asked: the segmentations of a cohort.
        voxels_of: reads one; a file that cannot be read is told elsewhere.
        map_files: maps a function over files, in threads for instance.

    Returns:
        The choice for each case, and the questions that are left.
    """
    chosen = {one.case_id: one.said for one in asked if one.said}
    groups: dict[tuple[LabelChoice, ...], list[AskedLabels]] = defaultdict(list)
    for one in asked:
        if not one.said:
            groups[one.voices].append(one)
    questions = []
    for voices, files in groups.items():
        seen = _look(files, voxels_of, map_files)
        choice = _heard(voices, seen) if voices else _usual(seen)
        names = tuple(one.case_id for one in files)
        if isinstance(choice, LabelChoice):
            chosen.update(dict.fromkeys(names, choice))
        else:
            questions.append(LabelQuestion(names, _question(seen, choice, len(files))))
    return chosen, questions


def _heard(voices: Sequence[LabelChoice], seen: _Seen) -> LabelChoice | list[LabelSet]:
    """Return what name and layout say, or the sets to ask for where they contradict each other or the values."""
    fitting = [voice for voice in voices if seen.every <= set(voice.label_set.words)]
    first = fitting[0] if fitting else voices[0]
    if not fitting:
        return first if len(voices) == 1 and _misfits_alone(first.label_set, seen) else _fitting(seen) or first
    rivals = [voice.label_set for voice in fitting if _differ(voice.label_set, first.label_set, seen)]
    if rivals or (len(voices) == 1 and _objects(first.label_set, seen)):
        return [first.label_set, *rivals] if rivals else _fitting(seen)
    return first


def _usual(seen: _Seen) -> LabelChoice | list[LabelSet]:
    """Return the set of segmentations of which nobody says anything, or those to ask for."""
    early, late = _USUAL
    values = ", ".join(map(str, sorted(seen.every)))
    if seen.every <= set(late.words):
        objected = _objects(late, seen)
        return (
            _fitting(seen) if objected else LabelChoice(late, f"the values {values or 'none'}, as nothing else says it")
        )
    if seen.every == set(early.words) and _in_shells(early, seen):
        return LabelChoice(early, f"the values {values}, never 3, with 4 around 1: nothing else says it")
    return _fitting(seen) or LabelChoice(late, "default, as its values fit no label set")


def _misfits_alone(label_set: LabelSet, seen: _Seen) -> bool:
    """Tell whether files with other values are refused by themselves, and say nothing of those that fit.

    Nothing would be taken for enhancing tumour, or most files fit and show the set's enhancing tumour.
    """
    fitting = sum(values <= set(label_set.words) for values in seen.values)
    enhancing = {value for value, word in label_set.words.items() if word is LabelMeaning.ENHANCING}
    return not enhancing & seen.every or (2 * fitting > len(seen.values) and _in_shells(label_set, seen))


def _in_shells(label_set: LabelSet, seen: _Seen) -> bool:
    """Tell whether in most tumours with all of a set's labels oedema lies outside and the necrotic core inside."""
    outside_first = (LabelMeaning.OEDEMA, LabelMeaning.ENHANCING, LabelMeaning.NECROTIC)
    values = [value for word in outside_first for value, own in label_set.words.items() if own is word]
    return seen.mostly(lambda at: sorted(values, key=at.__getitem__) == values, values)


def _fitting(seen: _Seen) -> list[LabelSet]:
    return [one for one in _ASKED if seen.every <= set(one.words)]


def _differ(one: LabelSet, other: LabelSet, seen: _Seen) -> bool:
    return any(one.words[value] is not other.words[value] for value in seen.every)


def _objects(label_set: LabelSet, seen: _Seen) -> bool:
    """Tell whether what the set calls oedema lies deeper in most tumours than all else: it surrounds a tumour."""
    oedema = next((value for value, word in label_set.words.items() if word is LabelMeaning.OEDEMA), None)
    if oedema is None:
        return False
    return any(
        seen.mostly(lambda at: at[oedema] == max(at.values()), (oedema, other, another))
        for other in seen.every - {oedema}
        for another in seen.every - {oedema, other}
    )


def _question(seen: _Seen, sets: Sequence[LabelSet], files: int) -> str:
    values = ", ".join(map(str, sorted(seen.every)))
    fits = "; ".join(f"{one.name} ({_of(one, seen)})" for one in sets)
    whose = f"its {files} segmentations" if files > 1 else "its segmentation"
    return f"{whose} with labels {values} may follow several label sets, not used until one is named: {fits}"


def _of(label_set: LabelSet, seen: _Seen) -> str:
    return ", ".join(f"{value} {word}" for value, word in label_set.words.items() if value in seen.every)


def _look(files: Sequence[AskedLabels], voxels_of: Voxels, map_files: Any) -> _Seen:
    places = {round(n) for n in np.linspace(0, len(files) - 1, min(_LOOKED_AT, len(files)))}
    jobs = [(one, place in places) for place, one in enumerate(files)]
    looked = [found for found in map_files(lambda job: _look_at(voxels_of(job[0]), job[1]), jobs) if found]
    return _Seen(tuple(values for values, _ in looked), tuple(depths for _, depths in looked if depths))


def _look_at(labels: Tensor | None, at_shape: bool) -> tuple[frozenset[int], dict[int, float]] | None:
    """Return the known label values of a file, and the mean depth of each when its shape is looked at."""
    if labels is None:
        return None
    whole = whole_labels(labels)
    values = frozenset(value for value in _KNOWN_VALUES if bool((whole == value).any()))
    if not (at_shape and len(values) > 2):
        return values, {}
    array = whole.squeeze().numpy().astype(np.int64)
    box = ndimage.find_objects(np.isin(array, list(values)).astype(np.uint8))[0]
    inside = np.pad(array[box], 1)
    depth = ndimage.distance_transform_edt(np.isin(inside, list(values)))
    return values, {value: float(depth[inside == value].mean()) for value in sorted(values)}
