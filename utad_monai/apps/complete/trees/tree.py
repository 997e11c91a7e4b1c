"""A completed cohort in one folder, in the layout that the next tool reads."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

import pandas
from tqdm import tqdm

from utad_monai.apps.complete.trees.forms import CompleteCase, Placer, TreeForm, tree_form
from utad_monai.data.layouts.case import remember_links
from utad_monai.data.layouts.label_sets import LABEL_SET_KEY, SAY_THE_LABEL_SET
from utad_monai.data.layouts.patient import write_patients
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind, Severity, of_severity
from utad_monai.data.split import folds_by_patient
from utad_monai.keys import Placing, TreeLayout
from utad_monai.runtime.files import write_json, write_table
from utad_monai.transforms import InvalidImageError

LIST_FILE = "synthetic.csv"
"""Which modalities of which cases are synthetic; it also marks a folder as a tree that may be written anew."""

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
        cases: cases with all four modalities.
        layout: the layout.
        placing: whether files that fit as they are get linked or copied.
        output_dir: folder of the completion, which holds the synthetic images.
        progress: whether to show a progress bar.

    Raises:
        CohortError: when the folder is there and no tree.
    """
    root = Path(output_dir) / str(TreeLayout(layout))
    form, placer = tree_form(TreeLayout(layout)), Placer(placing, output_dir)
    _refuse_foreign(root)
    files: set[Path] = set()
    problems: list[Finding] = []
    placed: list[CompleteCase] = []
    for wanted in tqdm(cases, desc=f"Tree {layout}", unit="case", disable=not progress):
        case, found = _with_segmentation(wanted, form, root, placer)
        problems.extend(found)
        files.update(form.images(case, root, placer))
        if case.case.segmentation:
            files.add(form.segmentation(case, root))
        placed.append(case)
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
    table = pandas.DataFrame(list(_synthetic(cases)), columns=["case", "modality", "file"])
    write_table(root / LIST_FILE, table)
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


def _synthetic(cases: Sequence[CompleteCase]) -> Iterator[tuple[str, str, str]]:
    """Yield case, modality and original file name of everything in a tree that is synthetic."""
    for case in cases:
        for modality in case.made:
            yield case.case.case_id, str(modality), case.synthetic[modality].name
