"""Images in or beside a case that no layout takes: a real image must not lose to a synthetic one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

from utad_monai.data.layouts.bids import PASSED_OVER
from utad_monai.data.layouts.brats import BratsLayout
from utad_monai.data.layouts.case import Case, Containment, UnclaimedImage
from utad_monai.data.layouts.image_files import (
    OTHER_FOLDERS,
    image_stem,
    is_dicom,
    is_written_here,
    role_of_name,
    series_description,
)
from utad_monai.data.layouts.table import TABLE_FILE
from utad_monai.data.quality.case_name import folded_name
from utad_monai.data.quality.finding import Finding, FindingKind
from utad_monai.data.sequences import RawRole
from utad_monai.keys import Modality

_NAMED = 5
"""Files that a line about many of them names."""
_END_OF_NAME = re.compile(r"[^a-z0-9]|$", re.IGNORECASE)
"""What follows the name of a case in the name of one of its files."""
_SUMMARIES = {
    "segmentation": "may be segmentations that cases lack, and no layout takes their names",
    "spare": "are not used: no layout takes their names, and no case lacks what they may be",
    "stranger": "are not used: they belong to no case that was recognised",
}
"""What is said of images that stop nothing, in one line for each kind."""


def with_unclaimed(
    cases: Sequence[Case], files: Iterable[Path], root: Path, inside: Containment, *, table: bool = False
) -> tuple[list[Case], list[Finding]]:
    """Tell which files that no layout takes may be an image that a case lacks.

    A file belongs to the case whose name begins its own or that of a folder above it, and to the case in whose folder
    it lies. It may be what its name says; when that says nothing, whatever the case lacks. What is clearly something
    else (other sequences, masks, segmentations, maps, images that this project wrote) is nobody's.

    Args:
        cases: the cases that were found.
        files: the files that no layout takes.
        root: the cohort's folder.
        inside: which of them may be read.
        table: whether a table says which images there are: then only names that say what is missing count.

    Returns:
        The cases with `unclaimed`, and warnings about images that stop nothing, a line for each kind.
    """
    owners = _Owners(cases, root)
    found: dict[str, list[UnclaimedImage]] = defaultdict(list)
    rest: dict[str, list[Path]] = {kind: [] for kind in _SUMMARIES}
    for image in _images(files, root):
        quiet = table or bool(PASSED_OVER & set(image.folders))
        owning = owners.of(image)
        shown = owners.shown(image.path)
        needed = {case.case_id: _may_be(case, image.roles(case), quiet) for case in owning}
        kind = "" if quiet or any(needed.values()) else _kind(image, owning)
        if (kind or any(needed.values())) and not inside.leaves(image.path) and is_written_here(image.path):
            continue
        for case_id, modalities in needed.items():
            found[case_id].extend([UnclaimedImage(shown, modalities)] if modalities else [])
        rest.get(kind, []).append(shown)
    for case_id, stray in _strays(owners):
        found[case_id].append(stray)
    warnings = [_summary(root, paths, _SUMMARIES[kind]) for kind, paths in rest.items() if paths]
    return [replace(case, unclaimed=tuple(found[case.case_id])) for case in cases], warnings


def unclaimed_warnings(case: Case) -> Iterator[Finding]:
    """Yield a warning for each image that may be one that a case lacks."""
    for image in case.unclaimed:
        text, remedy = _told(case, image)
        yield Finding.warning(FindingKind.UNCLAIMED, case.case_id, image.path, text, remedy)


def unclaimed_reason(case: Case, modality: Modality) -> str:
    """Return why a modality of a case is not made, a line for each file that may be it; empty where there is none."""
    told = [(image.path, *_told(case, image)) for image in case.unclaimed if modality in image.modalities]
    lines = [f"{path}: {text}; {remedy}, or use --ignore-unclaimed" for path, text, remedy in told]
    return "\n".join(f"case {case.case_id}: {modality} is not made: {line}" for line in lines)


def _told(case: Case, image: UnclaimedImage) -> tuple[str, str]:
    """Return what is to be said of an image, and what to do."""
    *others, last = map(str, image.modalities)
    may_be = f"{', '.join(others)} or {last}" if others else last
    whose = f"its name makes it an image of case {image.taken_for}" if image.taken_for else "no layout takes it"
    layout, first = case.layout, image.modalities[0]
    name = "a name of its layout"
    if isinstance(layout, BratsLayout) and not others:
        name = f"the name {case.case_id}{layout.separator}{layout.names[first]}.nii.gz"
    lacks = "has only as a synthetic image" if first in case.images else "lacks"
    return f"{whose}, but it may be the {may_be} that the case {lacks}", f"give it {name}, or list it in a {TABLE_FILE}"


@dataclass(frozen=True)
class _Image:
    """An image that no layout takes.

    Attributes:
        path: its file, or the first of its slices.
        stem: the name of the file without its ending.
        folders: the names of the folders above it, below the cohort's root.
    """

    path: Path
    stem: str
    _: KW_ONLY
    folders: tuple[str, ...]

    def roles(self, case: Case | None = None) -> frozenset[RawRole]:
        """Return what its name says, or else the innermost folder that says anything, and what a series says itself."""
        case_id = case.case_id if case else ""
        if self.folders and self.folders[-1].casefold() in OTHER_FOLDERS:
            return frozenset({RawRole.OTHER})
        by_name = role_of_name(_without(case_id, self.stem)) or self._by_folder(case)
        described = role_of_name(series_description(self.path)) if is_dicom(self.path) else frozenset()
        return described if described == {RawRole.OTHER} else described | by_name

    def _by_folder(self, case: Case | None) -> frozenset[RawRole]:
        case_id, own = (case.case_id, _folders(case)) if case else ("", frozenset())
        for folder in self.path.parents[: len(self.folders)]:
            if folder in own:
                break
            name = _without(case_id, folder.name)
            if (roles := role_of_name(name)) or name != folder.name:
                return roles
        return frozenset()  # what lies above the folder of a case is about many cases


class _Owners:
    """Which cases a file may belong to.

    Args:
        cases: the cases of a cohort.
        root: its folder.
    """

    def __init__(self, cases: Sequence[Case], root: Path) -> None:
        self._by_name = {folded_name(case.case_id): case for case in cases}
        self.by_folder: dict[Path, dict[str, Case]] = defaultdict(dict)
        self._root = root
        for case in cases:
            for folder in _folders(case):
                self.by_folder[folder][case.case_id] = case

    def of(self, image: _Image) -> list[Case]:
        """Return the cases that an image may belong to, each once."""
        named = [self._named(name) for name in (image.stem, *reversed(image.folders))]
        placed = next((self.of_folder(p) for p in image.path.parents if p in self.by_folder), None)
        found = [case for case in (next(filter(None, named), None), placed) if case is not None]
        return list({case.case_id: case for case in found}.values())

    def shown(self, path: Path) -> Path:
        """Return what is named to the user: DICOM slices in a folder of their own by it."""
        return path.parent if is_dicom(path) and path.parent not in {self._root, *self.by_folder} else path

    def of_folder(self, folder: Path) -> Case | None:
        """Return the case that a folder belongs to: its only one, or the one that it is named after."""
        cases = self.by_folder[folder]
        if len(cases) == 1:
            return next(iter(cases.values()))
        named = self._named(folder.name)
        return named if named and named.case_id in cases and folder != self._root else None

    def _named(self, text: str) -> Case | None:
        """Return the case with the longest name that a text begins with."""
        folded = folded_name(text)
        ends = reversed([match.start() for match in _END_OF_NAME.finditer(folded)])
        return next((self._by_name[folded[:end]] for end in ends if folded[:end] in self._by_name), None)


def _images(files: Iterable[Path], root: Path) -> Iterator[_Image]:
    """Yield the images among some files; header and voxels count once, and so do the slices of one folder."""
    seen: set[tuple[Path, str]] = set()
    for path in files:
        stem = image_stem(path)
        if stem is None:
            continue
        key = (path.parent, series_description(path) if is_dicom(path) else stem.casefold() + path.suffix.lower())
        if path.suffix.lower() in (".hdr", ".img"):
            key = (path.parent, stem.casefold())
        if key not in seen:
            seen.add(key)
            yield _Image(path, stem, folders=path.relative_to(root).parts[:-1])


def _may_be(case: Case, roles: frozenset[RawRole], quiet: bool) -> tuple[Modality, ...]:
    """Return which of the modalities an image may be that a case lacks, or has as a synthetic image only."""
    if not roles:
        return () if quiet else case.missing
    said = {role.modality for role in roles}
    return tuple(m for m in case.modalities if m in said and (m in case.missing or is_written_here(case.images[m])))


def _kind(image: _Image, owning: Sequence[Case]) -> str:
    """Return what an image that no case needs is; empty for what is clearly something else."""
    roles = [image.roles(case) for case in owning] or [image.roles()]
    if any(
        case.segmentation is None and RawRole.SEGMENTATION in said for case, said in zip(owning, roles, strict=False)
    ):
        return "segmentation"
    if owning:
        return "spare" if any(not said or any(role.modality for role in said) for said in roles) else ""
    return "stranger" if any(role.modality for role in roles[0]) else ""


def _strays(owners: _Owners) -> Iterator[tuple[str, UnclaimedImage]]:
    """Yield images of one case that lie in the folder of another one, which lacks just them."""
    for folder, placed in owners.by_folder.items():
        owner = owners.of_folder(folder) if len(placed) > 1 else None
        for other in placed.values():
            if owner is None or other is owner or set(other.images) & set(owner.images):
                continue
            for one, foreign in ((owner, other), (other, owner)):
                for modality, path in foreign.images.items():
                    yield one.case_id, UnclaimedImage(path, (modality,), taken_for=foreign.case_id)


def _folders(case: Case) -> frozenset[Path]:
    """Return the folders that hold the images of a case; in BIDS that above `anat`."""
    folders = {path.parent for path in case.images.values()}
    return frozenset(folder.parent if folder.name == "anat" else folder for folder in folders)


def _without(case_id: str, name: str) -> str:
    return name[len(case_id) :] if case_id and folded_name(name).startswith(folded_name(case_id)) else name


def _summary(root: Path, paths: Sequence[Path], text: str) -> Finding:
    paths = list(dict.fromkeys(paths))
    named = ", ".join(str(path.relative_to(root)) for path in paths[:_NAMED])
    more = ", ..." if len(paths) > _NAMED else ""
    return Finding.warning(FindingKind.UNCLAIMED, "", root, f"{len(paths)} images {text}: {named}{more}")
