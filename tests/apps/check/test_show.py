"""The tables say what was found, within 80 columns, without colours in a pipe, whatever the names hold."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from utad_monai.apps.check import CaseGrid, CaseReport, CohortReport, Finding, FindingKind, show_report
from utad_monai.apps.check.show import TITLES
from utad_monai.apps.cli import LabelSetOption
from utad_monai.data import BRATS_2023, Case
from utad_monai.data.layouts.label_choice import LabelChoice
from utad_monai.data.layouts.label_sets import LABEL_SETS
from utad_monai.keys import Modality

ROOT = Path("cohort")


def case(number: int, *modalities: str, case_id: str = "", problem: str = "", finding: str = "") -> CaseReport:
    name = case_id or f"case_{number}"
    images = {Modality(modality): ROOT / name / f"{name}-{modality}.nii" for modality in modalities or ("t1",)}
    problems = (Finding.error(name, next(iter(images.values())), problem, "mend it"),) if problem else ()
    findings = (Finding.warning(FindingKind.FILE, name, next(iter(images.values())), finding),) if finding else ()
    grid = CaseGrid((10 + number % 20, 20, 30), (1.0, 1.0, 1.5), orientation="RAS")
    return CaseReport(
        Case(name, name, images=images, segmentation=None, layout=BRATS_2023),
        grid,
        findings=(*problems, *findings),
        digests={},
    )


def shown(*cases: CaseReport, problems: tuple[Finding, ...] = (), width: int = 80) -> str:
    out = io.StringIO()
    show_report(CohortReport(ROOT, cases, findings=problems), Console(file=out, width=width, highlight=False))
    return out.getvalue()


def test_a_sound_cohort() -> None:
    text = shown(case(1, "flair", "t1"), case(1, "flair", "t1"), case(1, "t2"))
    assert "3 cases of 1 patient: 3 usable, 0 refused" in text
    assert "BraTS 2023 and later (flair t2f, t1 t1n, t1ce t1c, t2 t2w; labels" in text
    assert "│ flair │ t1 │ -    │ -  │ -   │ 2      │" in text
    assert "│ 2     │ 2  │ 0    │ 1  │ 0   │ in all │" in text
    assert "│ 11 x 20 x 30 │ 1 x 1 x 1.5  │ RAS    │ 3     │" in text
    assert "Problems: none" in text
    assert "Warnings: none" in text


def test_problems_are_all_listed_and_warnings_are_cut() -> None:
    text = shown(*(case(number, problem="is broken", finding="is odd") for number in range(12)))
    assert "Problems: 12, 12 of 12 cases refused" in text
    assert text.count("is broken; mend it") == 12
    assert "Warnings: 12" in text
    assert text.count("is odd") == 8
    assert "... and 4 more (all of them: --json)" in text
    assert "case_3-t1.nii: is broken" in text


def test_warnings_of_every_kind_are_shown() -> None:
    assert set(TITLES) == set(FindingKind)


def test_many_patterns_and_grids_are_summed_up() -> None:
    patterns = [[m for bit, m in enumerate(Modality) if number >> bit & 1] for number in range(1, 16)]
    text = shown(*(case(number, *modalities) for number, modalities in enumerate(patterns)))
    assert text.count("...") == 7
    assert "│ ...   │ ... │ ...  │ ... │ ... │ 3      │" in text
    assert "3 more" in text


def test_problems_of_no_case_are_shown_without_one() -> None:
    text = shown(problems=(Finding.error("", ROOT, "holds no case", "look elsewhere"),))
    assert "0 cases: 0 usable, 0 refused" in text
    assert "Problems: 1\n" in text
    assert "cohort: holds no case; look elsewhere" in text


@pytest.mark.parametrize("name", ["[red]x[/red]", "a\x1b[31mb", "\udcff", "a\nb", "x" * 150])
def test_any_name_is_shown_as_it_is_or_as_its_code(name: str) -> None:
    text = shown(case(1, case_id=name, problem="is broken"))
    assert name.encode("unicode_escape").decode() in text
    assert "\x1b" not in text
    text.encode("utf-8")


def test_lines_fit_and_paths_are_not_broken() -> None:
    long = "a" * 30 + "/" + "b" * 70
    text = shown(case(1, "flair", "t1", "t1ce", "t2", problem=f"collides with {long}, " + "and more words " * 20))
    assert long in text
    assert all(len(line) <= 80 for line in text.splitlines() if long not in line)
    assert not any(line != line.rstrip() for line in text.splitlines() if "│" not in line and line.strip() == "is")


def test_a_terminal_has_colours_and_a_pipe_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    show_report(CohortReport(ROOT, (case(1),), findings=()))
    assert "\x1b" not in capsys.readouterr().out
    out = io.StringIO()
    show_report(CohortReport(ROOT, (case(1),), findings=()), Console(file=out, width=80, force_terminal=True))
    assert "\x1b" in out.getvalue()


def test_a_cohort_without_a_readable_file_has_no_grids() -> None:
    text = shown(replace(case(1, problem="is broken"), grid=None))
    assert "Grids" not in text
    assert "1 case of 1 patient: 0 usable, 1 refused" in text


def test_the_label_set_is_said_and_who_says_so() -> None:
    labelled = case(1)
    said = LabelChoice(LABEL_SETS["brats2024"], "label_set.json")
    labelled = replace(labelled, case=replace(labelled.case, segmentation=ROOT / "seg.nii", labels_said=said))
    text = shown(labelled)
    assert "Labels of 1 case: brats2024, said by label_set.json" in text
    assert "4\ncavity)" in text or "4 cavity)" in text


def test_every_label_set_is_in_the_help_of_its_option() -> None:
    text = next(one.help for one in LabelSetOption.__metadata__)  # type: ignore[attr-defined]
    assert all(f"{name}," in text for name in LABEL_SETS)
