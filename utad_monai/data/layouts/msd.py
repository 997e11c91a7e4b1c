"""Medical Segmentation Decathlon, Task01: four modalities in one 4-D file.

Channel order and labels: Antonelli et al. 2022, The Medical Segmentation Decathlon, and the task's `dataset.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from utad_monai.data.layouts.case import SEGMENTATION, Claim, Layout
from utad_monai.data.layouts.label_sets import DATASET_FILE, MSD_LABELS, meaning_of_names, names_of_values
from utad_monai.data.layouts.patient import patient_of
from utad_monai.data.quality.finding import Finding
from utad_monai.keys import Modality

MSD_TASK01 = Layout(
    name="MSD Task01",
    names={Modality.FLAIR: "FLAIR", Modality.T1: "T1w", Modality.T1CE: "T1gd", Modality.T2: "T2w"},
    label_set=MSD_LABELS,
    channels={Modality.FLAIR: 0, Modality.T1: 1, Modality.T1CE: 2, Modality.T2: 3},
)
"""`imagesTr/<case>.nii.gz` (4-D), `labelsTr/<case>.nii.gz`; imagesTs has no labels."""

_FOLDER = re.compile(r"(?P<content>images|labels)T[rs]")
_MAX_JSON_BYTES = 1 << 24
_SYNONYMS = {
    Modality.FLAIR: {"flair", "t2flair", "t2f"},
    Modality.T1: {"t1", "t1w", "t1n"},
    Modality.T1CE: {"t1gd", "t1ce", "t1c", "t1wgd", "t1wce"},
    Modality.T2: {"t2", "t2w"},
}


def msd_claims(path: Path) -> Iterator[Claim]:
    """Yield what a file in `imagesTr`, `imagesTs`, `labelsTr` or `labelsTs` is; nothing for files elsewhere."""
    folder = _FOLDER.fullmatch(path.parent.name)
    if not folder:
        return
    case_id = re.sub(r"\.nii(\.gz)?$", "", path.name)
    parts = MSD_TASK01.channels if folder["content"] == "images" else (SEGMENTATION,)
    for part in parts:
        yield Claim(
            MSD_TASK01, path.parent.parent, case_id=case_id, patient_id=patient_of(case_id), part=part, path=path
        )


_WANTED_LABELS = "1 oedema, 2 non-enhancing tumour, 3 enhancing tumour"
_MOST_DIGITS = 6
"""A longer number counts no channels."""


def contradiction(task_dir: Path, labels_are_said: bool = False) -> Finding | None:
    """Return the problem of a task whose `dataset.json` says other channels or labels than this layout, if it does.

    A task without the file, or without the entries, contradicts nothing; `modality` and `labels` may be those of the
    Decathlon, or `channel_names` and `labels` those of nnU-Net v2.

    Args:
        task_dir: folder of the task.
        labels_are_said: whether the user says what labels mean, so that the file is not asked.
    """
    path = task_dir / DATASET_FILE
    if not path.exists():
        return None
    try:
        if not path.is_file():
            raise ValueError("it is no regular file")
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError("it is too large")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        return Finding.error("", path, f"cannot be read ({error})", "mend it, or remove it if the task is Task01")
    if not isinstance(content, Mapping):
        return Finding.error("", path, "is no JSON object", "mend it, or remove it if the task is Task01")
    channels = content.get("modality", content.get("channel_names"))
    reason = _other_channels(channels) or ("" if labels_are_said else _other_labels(content.get("labels")))
    remedy = "reorder the files to Task01's order and mend the entry, or list the cases in a cohort.csv"
    return Finding.error("", path, reason, remedy) if reason else None


def _other_channels(entry: Any) -> str:
    if entry is None:
        return ""
    found = [_plain(name) for _, name in _numbered(entry)]
    agree = len(found) == len(Modality) and all(
        name in _SYNONYMS[modality] for modality, name in zip(MSD_TASK01.channels, found, strict=True)
    )
    wanted = ", ".join(MSD_TASK01.names.values())
    return "" if agree else f"says that the channels are {entry}, but those of Task01 are {wanted}"


def _other_labels(entry: Any) -> str:
    if isinstance(entry, list):
        entry = dict(enumerate(entry))
    try:
        names = names_of_values(entry) if isinstance(entry, Mapping) else {}
    except ValueError as error:
        return f"has labels that cannot be read ({error})"
    for value, wanted in MSD_LABELS.words.items():
        if value in names and meaning_of_names(names[value]) is not wanted:
            shown = " and ".join(map(repr, names[value]))
            return f"says that label {value} is {shown}, but the labels of Task01 are {_WANTED_LABELS}"
    return ""


def _numbered(entry: Any) -> list[tuple[int, str]]:
    """Return the items of a mapping from numbers (as JSON text) to names, or of a list, in the order of the numbers."""
    items = entry.items() if isinstance(entry, Mapping) else enumerate(entry) if isinstance(entry, list) else ()
    numbered = ((str(key), str(name)) for key, name in items)
    return sorted((int(key), name) for key, name in numbered if key.isdecimal() and len(key) <= _MOST_DIGITS)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
