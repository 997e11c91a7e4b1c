"""What every cohort is read into: the layout that was recognised, and one record for each case."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Final

from utad_monai.data.layouts.label_choice import LabelChoice
from utad_monai.data.layouts.label_sets import LabelSet
from utad_monai.data.layouts.patient import visit_of
from utad_monai.keys import FOUR_MODALITIES, Modality, ModalitySet, TumourLabel
from utad_monai.runtime.files import home_dir, write_json

_logger = logging.getLogger(__name__)
LINKS_VARIABLE = "UTAD_MONAI_LINKS"
"""Environment variable with the folders that links of a cohort may lead to, separated as in PATH."""
LEAVES = "is a symbolic link that leads outside the cohort"
"""Why a link is refused."""
REMEDY = f"copy the files into the cohort, or name the folder that it leads to in {LINKS_VARIABLE}"
"""What the user can do about it."""

_FOLDER = "links"
_GIT, _ANNEX = ".git", "annex/objects"
_TARGETS = "folders"


class Containment:
    """Which paths below a cohort's root may be read.

    Those that lie inside it when all links are followed, inside a folder of `$UTAD_MONAI_LINKS`, where this user's
    own `complete` led the links of a tree, or among the objects of the git-annex (DataLad) that the cohort is part of.
    Nothing inside the cohort can widen it.

    Args:
        root: the cohort's folder.
    """

    def __init__(self, root: str | Path) -> None:
        named = filter(None, os.environ.get(LINKS_VARIABLE, "").split(os.pathsep))
        self._allowed = frozenset(
            _real(folder) for folder in (root, *named, *_remembered(Path(root)), *_annex(_real(root)))
        )

    def leaves(self, path: Path) -> bool:
        """Tell whether a path leads outside; one that leads nowhere does not."""
        try:
            resolved = path.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # in this order: absent, a link to itself, a null character
            return False
        return self._allowed.isdisjoint((resolved, *resolved.parents))


def remember_links(root: Path, folders: Iterable[Path]) -> None:
    """Keep, in the user's own folder, where the links below a root lead; what was kept for the root is replaced."""
    content = {"root": str(_real(root)), _TARGETS: sorted({str(_real(folder)) for folder in folders})}
    try:
        write_json(_record(root), content)
    except OSError as error:
        _logger.warning("%s: %s cannot be written (%s): name it in %s", root, _record(root), error, LINKS_VARIABLE)


def _remembered(root: Path) -> list[str]:
    try:
        folders = json.loads(_record(root).read_text(encoding="utf-8"))[_TARGETS]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [folder for folder in folders if isinstance(folder, str)] if isinstance(folders, list) else []


def _annex(root: Path) -> list[Path]:
    """Return where the git repository around a folder keeps the content of its files: in itself, or in its parent's.

    A sub-dataset's `.git` is a link into the `.git` of the dataset that it is part of; one to elsewhere counts for
    nothing.
    """
    above = [folder / _GIT for folder in (root, *root.parents)]
    git = next((one for one in above if one.exists()), None)
    objects = [] if git is None else [_real(git / _ANNEX)]
    stores = [one for one in above if one.is_dir() and not one.is_symlink()]
    return [path for path in objects if any(path.is_relative_to(store) for store in stores)]


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve it survives links in circles


def _record(root: Path) -> Path:
    name = hashlib.sha256(os.fsencode(_real(root))).hexdigest()[:32]
    return home_dir() / _FOLDER / f"{name}.json"


SEGMENTATION: Final = "seg"
"""The part of a case that is not an image; also its column and its file ending where a layout has no other."""


@dataclass(frozen=True)
class Layout:
    """How a family of cohorts stores its cases.

    Attributes:
        name: shown to the user.
        names: what the layout calls an image of each modality.
        label_set: what its segmentations mean where nobody says anything else; None where the layout says nothing.
        channels: position of each modality in a 4-D file; empty where every modality has a file of its own.
    """

    name: str
    names: Mapping[Modality, str]
    _: KW_ONLY
    label_set: LabelSet | None
    channels: Mapping[Modality, int] = field(default_factory=dict)

    @property
    def labels(self) -> dict[int, TumourLabel]:
        """Canonical label of each value in its segmentations, 0 left out; empty where the layout says nothing."""
        return self.label_set.meanings if self.label_set else {}

    @property
    def stored_labels(self) -> dict[TumourLabel, int]:
        """The value that is written for each canonical label: the inverse of `labels`."""
        return {self.labels[value]: value for value in reversed(list(self.labels))}

    @property
    def enhancing_label(self) -> int:
        """The value that is written for enhancing tumour."""
        return self.stored_labels[TumourLabel.ENHANCING]

    @property
    def description(self) -> str:
        """Name, mapping of modalities and mapping of labels, in one phrase."""
        return self.described(self.label_set)

    def described(self, label_set: LabelSet | None) -> str:
        """Return the same for segmentations that follow another label set."""
        if self.channels:
            images = "4-D, channels " + ", ".join(f"{m} {channel}" for m, channel in self.channels.items())
        else:
            images = ", ".join(f"{m} {name}" if m != name else str(m) for m, name in self.names.items())
        labels = label_set.description if label_set else "as each cohort has them"
        return f"{self.name} ({images}; labels {labels})"


@dataclass(frozen=True)
class UnclaimedImage:
    """An image in or beside a case that no layout takes for one of its parts.

    Attributes:
        path: the file; of DICOM slices in a folder of their own the folder.
        modalities: which of those that the case lacks it may be, at least one.
        taken_for: the other case whose image its name makes it; empty where it is nobody's.
    """

    path: Path
    modalities: tuple[Modality, ...]
    _: KW_ONLY
    taken_for: str = ""


@dataclass(frozen=True)
class Case:
    """One visit of one patient, with whatever modalities there are.

    Attributes:
        case_id: name of the visit, unique in the cohort.
        patient_id: the patient; splits never separate a patient's visits.
        images: the file of each available modality, in the order of `modalities`; with a 4-D layout several share one
            file.
        segmentation: the reference segmentation, if there is one.
        layout: the layout that was recognised.
        modalities: those that a case of its cohort should have.
        labels_said: what decides the label set of the segmentation, and who says so; None for the layout.
    """

    case_id: str
    patient_id: str
    _: KW_ONLY
    images: Mapping[Modality, Path]
    segmentation: Path | None
    layout: Layout
    modalities: ModalitySet = FOUR_MODALITIES
    labels_said: LabelChoice | None = None

    @property
    def label_choice(self) -> LabelChoice | None:
        """The label set of the segmentation, and who says so; None without a segmentation."""
        if self.segmentation is None or self.label_set is None:
            return None
        return self.labels_said or LabelChoice(self.label_set, f"the layout {self.layout.name}")

    @property
    def label_set(self) -> LabelSet | None:
        """What the values of the segmentation mean."""
        return self.labels_said.label_set if self.labels_said else self.layout.label_set

    @property
    def labels(self) -> dict[int, TumourLabel]:
        """Canonical label of each value of the segmentation, 0 left out."""
        return self.label_set.meanings if self.label_set else {}

    @property
    def visit(self) -> str:
        """When its patient was examined, as far as the name of the case tells; empty where it does not."""
        return visit_of(self.case_id).time

    unclaimed: tuple[UnclaimedImage, ...] = ()

    @property
    def missing(self) -> tuple[Modality, ...]:
        """Modalities that this case lacks."""
        return tuple(modality for modality in self.modalities if modality not in self.images)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the case, each once, images first."""
        return tuple(dict.fromkeys((*self.images.values(), *([self.segmentation] if self.segmentation else []))))

    def channel(self, modality: Modality) -> int | None:
        """Return the modality's position in its 4-D file; None when the file holds nothing else."""
        return self.layout.channels.get(modality)


@dataclass(frozen=True)
class Claim:
    """What a layout says of one file: it is this part of that case.

    Attributes:
        layout: the layout that recognises the file.
        dataset: the folder within which files with one case name belong together.
        case_id: name of the case.
        patient_id: its patient.
        part: a modality, or `SEGMENTATION`.
        path: the file.
        doubt: why it may be something else; empty when nothing speaks against it.
    """

    layout: Layout
    dataset: Path
    _: KW_ONLY
    case_id: str
    patient_id: str
    part: Modality | str
    path: Path
    doubt: str = ""
