from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from utad_monai.apps.report.study_figures import CAPTIONS_FILE, FIGURES_DIR, study_figures, write_study_figures
from utad_monai.apps.study import StudyPlan


@pytest.fixture(scope="module")
def drawn(
    finished_study: Path, tiny_plan: StudyPlan, tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    output = tmp_path_factory.mktemp("drawn") / "study"
    shutil.copytree(finished_study, output)
    write_study_figures(tiny_plan, tiny_cohort, output)
    return output / FIGURES_DIR


def test_every_figure_is_a_file_with_a_caption(drawn: Path) -> None:
    captions = json.loads((drawn / CAPTIONS_FILE).read_text(encoding="utf-8"))
    assert {path.name for path in drawn.glob("*.png")} == set(captions)
    assert all((drawn / name).stat().st_size > 5000 for name in captions)
    for name in ("intervals", "dice", "missing", "scatter", "features", "curves_utad_teacher", "translation_t1_t1ce"):
        assert captions[f"{name}.png"]


def test_translations_show_every_method_between_source_and_truth(
    finished_study: Path, tiny_plan: StudyPlan, tiny_cohort: Path
) -> None:
    figures = {name: figure for name, _, figure in study_figures(tiny_plan, tiny_cohort, finished_study)}
    titles = [axis.get_title().replace("\n", "_") for axis in figures["translation_t1_t2"].axes if axis.get_title()]
    assert titles == ["source", "copy", *(method.name for method in tiny_plan.methods), "ground truth"]


def test_features_are_compared_where_there_is_a_fused_bottleneck(
    finished_study: Path, tiny_plan: StudyPlan, tiny_cohort: Path
) -> None:
    figures = {name: figure for name, _, figure in study_figures(tiny_plan, tiny_cohort, finished_study)}
    titles = " ".join(axis.get_title() for axis in figures["features"].axes)
    assert "utad_a" in titles
    assert "no_distillation" in titles
    assert "utad_b" not in titles
