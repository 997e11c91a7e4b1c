"""A completion says where a copy or a contrast map is known to be better than its model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from utad_monai.apps.complete import Completion, complete_cohort
from utad_monai.apps.complete.yardsticks import beaten_pairs
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel, load_translator, save_translator
from utad_monai.models.source_choice import BELOW_COPY

FLAIR, T1, T1CE, T2 = Modality


@pytest.fixture
def run_folder(tmp_path: Path, student_translator: TranslatorModel) -> Path:
    """A run whose evaluation found a copy better from T1 to T1ce, and the contrast map from T2 to T1."""
    training = {"stage": "student", BELOW_COPY: ["flair->t2"]}
    model = tmp_path / "run" / "student" / "model.safetensors"
    save_translator(model, replace(student_translator, training=training))
    pairs = {
        "t1->t1ce": {"student": {"ssim": 0.5}, "copy_source": {"ssim": 0.6}, "contrast_map": {"ssim": 0.4}},
        "t2->t1": {"student": {"ssim": 0.5}, "copy_source": {"ssim": 0.1}, "contrast_map": {"ssim": 0.55}},
        "t1->t2": {"student": {"ssim": 0.5}, "copy_source": {"ssim": 0.1}, "contrast_map": {"ssim": None}},
    }
    protocol = {"student_sha256": load_translator(model).sha256}
    (tmp_path / "run" / "evaluation").mkdir()
    summary = tmp_path / "run" / "evaluation" / "summary.json"
    summary.write_text(json.dumps({"protocol": protocol, "image_quality_by_pair": pairs}))
    return tmp_path / "run"


def beaten(folder: Path) -> dict[str, str]:
    return beaten_pairs(load_translator(folder / "student" / "model.safetensors"), folder)


def test_evaluation_of_the_run_and_the_models_own_validation_are_read(run_folder: Path) -> None:
    found = beaten(run_folder)
    assert set(found) == {"t1->t1ce", "t2->t1", "flair->t2"}
    assert found["t1->t1ce"] == "a copy of the source has SSIM 0.60, this model 0.50 on the patients of its evaluation"
    assert "contrast map has SSIM 0.55" in found["t2->t1"]
    assert beaten_pairs(load_translator(run_folder / "student" / "model.safetensors")).keys() == {"flair->t2"}


@pytest.mark.parametrize("content", ["broken", "[]", '{"protocol": {"student_sha256": "another"}}'])
def test_evaluation_of_another_model_says_nothing(run_folder: Path, content: str) -> None:
    (run_folder / "evaluation" / "summary.json").write_text(content)
    assert set(beaten(run_folder)) == {"flair->t2"}


def test_completion_by_a_run_folder_takes_its_student_and_warns(
    run_folder: Path, tmp_path: Path, write_case: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    write_case(tmp_path / "cohort", "a", [FLAIR, T1, T2], seed=1)
    with caplog.at_level("INFO", logger="utad_monai"):
        completed = complete_cohort(
            Completion(tmp_path / "cohort", run_folder, output_dir=tmp_path / "out", progress=False)
        )
    assert f"model: {run_folder / 'student' / 'model.safetensors'} (the student)" in caplog.messages
    (result,) = completed.results
    used = result.made[0].sources[0]
    assert any("a copy of the source" in warning for warning in result.warnings) is (used == T1)
