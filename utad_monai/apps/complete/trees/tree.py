"""A completed cohort in one folder, in the layout that the next tool reads."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any

import pandas

from utad_monai.apps.complete.trees.case_names import official_names, read_names, write_names
from utad_monai.apps.complete.trees.forms import CompleteCase, Placer, TreeForm, tree_form
from utad_monai.data.layouts.case import remember_links
from utad_monai.data.layouts.label_sets import LABEL_SET_KEY, SAY_THE_LABEL_SET
from utad_monai.data.layouts.patient import write_patients
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind, Severity, of_severity
from utad_monai.data.split import folds_by_patient
from utad_monai.keys import Modality, Placing, TreeLayout
from utad_monai.runtime.files import write_json, write_table
from utad_monai.runtime.progress import progress_bar
from utad_monai.transforms import InvalidImageError

LIST_FILE = "synthetic.csv"
"""Which files of a tree, and channels of them, are synthetic; its presence marks a folder that may be written anew."""

_COLUMNS = ["case", "modality", "file", "channel"]
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tree:
    """A tree that was written.

    Attributes:
        folder: its root.
        channel_order: which channel or file name holds which modality.
        cases: names of its cases.
        problems: segmentations that could not go along.
        warnings: what of them could not.
    """

    folder: Path
    channel_order: str
    _: KW_ONLY
    cases: tuple[str, ...]
    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...] = ()


def write_tree(
    cases: Sequence[CompleteCase],
    layout: TreeLayout | str,
    placing: Placing | str,
    output_dir: str | Path,
    progress: bool = True,
) -> Tree:
    """Write `<output_dir>/<layout>/` with all four modalities and the segmentation of every case.

    Files of an earlier tree that do not belong any more are removed. A segmentation that cannot be used is left out,
    and its case counts as one without.

    Args:
        cases: cases with all four modalities; a layout may call them by other names.
        layout: the layout.
        placing: whether files that fit as they are get linked or copied.
        output_dir: folder of the completion, which holds the synthetic images.
        progress: whether to show a progress bar.

    Raises:
        CohortError: when the folder is there and no tree.
    """
    root = Path(output_dir) / str(TreeLayout(layout))
    form, placer = tree_form(TreeLayout(layout)), Placer(placing)
    _refuse_foreign(root)
    names = official_names([one.case for one in cases], read_names(root)) if form.official_names else {}
    files: set[Path] = {write_names(root, names)} if names else set()
    problems: list[Finding] = []
    placed: list[CompleteCase] = []
    rows: list[dict[str, Any]] = []
    for wanted in progress_bar(cases, f"Tree {layout}", unit="case", show=progress):
        named = replace(wanted.case, case_id=names.get(wanted.case.case_id, wanted.case.case_id))
        case, found = _with_segmentation(replace(wanted, case=named), form, root, placer)
        problems.extend(found)
        images = form.images(case, root, placer)
        files.update(images.values(), _sidecars(case, images, placer))
        rows.extend(_synthetic(case, images, form, root))
        if case.case.segmentation:
            files.add(form.segmentation(case, root))
        placed.append(case)
    write_table(root / LIST_FILE, pandas.DataFrame(rows, columns=_COLUMNS))
    warnings = of_severity(Severity.WARNING, problems)
    _describe(form, root, placed, files, warnings=warnings)
    remember_links(root, {path.resolve().parent for path in files if path.is_symlink()})
    return Tree(
        root,
        form.channel_order,
        cases=tuple(case.case.case_id for case in placed),
        problems=of_severity(Severity.ERROR, problems),
        warnings=warnings,
    )


def _with_segmentation(
    case: CompleteCase, form: TreeForm, root: Path, placer: Placer
) -> tuple[CompleteCase, list[Finding]]:
    """Place a case's segmentation; without a usable one return the case as one that has none."""
    source, found = case.case.segmentation, case.case.label_set
    if source is None or found is None:
        return case, []
    try:
        text = placer.segmentation(source, form.segmentation(case, root), found, form.label_set)
    except InvalidImageError as error:
        problem = Finding.of(case.case.case_id, error)
    except ValueError as error:
        problem = Finding.error(case.case.case_id, source, str(error), SAY_THE_LABEL_SET)
    else:
        kind = FindingKind.SEGMENTATION
        return case, [Finding.warning(kind, case.case.case_id, source, text)] if text else []
    return replace(case, case=replace(case.case, segmentation=None)), [problem]


def _refuse_foreign(root: Path) -> None:
    if root.is_dir() and any(root.iterdir()) and not (root / LIST_FILE).exists():
        raise CohortError.of(root, "is there already and was not written here", "remove it or choose another")
    root.mkdir(parents=True, exist_ok=True)
    if not (root / LIST_FILE).exists():
        (root / LIST_FILE).touch()


def _describe(
    form: TreeForm, root: Path, cases: Sequence[CompleteCase], files: set[Path], *, warnings: Sequence[Finding]
) -> None:
    """Write the descriptions of a tree and remove what an earlier one left behind."""
    labelled = [case.case.case_id for case in cases if case.case.segmentation]
    others = [case.case.case_id for case in cases if not case.case.segmentation]
    name, content = form.description(labelled, others)
    write_json(root / name, content)
    said = root / f"{LABEL_SET_KEY}.json"
    notes = {"warnings": [f"{one.case_id}: {one.text}" for one in warnings]} if warnings else {}
    write_json(said, {**form.label_set.as_data(), **notes})
    wanted = {root / name, said, root / LIST_FILE, *_write_patients(form, root, cases), *files}
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in wanted:
            path.unlink()


def _write_patients(form: TreeForm, root: Path, cases: Sequence[CompleteCase]) -> Iterator[Path]:
    """Write who the cases are of and, for readers that split them, the folds by patient; yield the files."""
    yield write_patients(root, {case.case.case_id: case.case.patient_id for case in cases})
    folds = folds_by_patient([case.case for case in cases if case.case.segmentation]) if form.folds_file else []
    if folds:
        write_json(root / form.folds_file, folds)
        yield root / form.folds_file


def _sidecars(case: CompleteCase, images: Mapping[Modality, Path], placer: Placer) -> Iterator[Path]:
    """Put the sidecars of what is synthetic beside its images; beside a 4-D file they name the modality."""
    for modality in case.made:
        sidecar = case.synthetic[modality].with_name(f"{_stem(case.synthetic[modality])}.json")
        shared = list(images.values()).count(images[modality]) > 1
        if sidecar.is_file():
            stem = f"{_stem(images[modality])}_{modality}" if shared else _stem(images[modality])
            placer.file(sidecar, images[modality].with_name(f"{stem}.json"))
            yield images[modality].with_name(f"{stem}.json")


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _synthetic(
    case: CompleteCase, images: Mapping[Modality, Path], form: TreeForm, root: Path
) -> Iterator[dict[str, Any]]:
    """Yield a row for every image of a case that is synthetic: where it stands in the tree."""
    for modality in case.made:
        channel = form.channel(modality)
        yield {
            "case": case.case.case_id,
            "modality": str(modality),
            "file": images[modality].relative_to(root).as_posix(),
            "channel": "" if channel is None else str(channel),
        }
