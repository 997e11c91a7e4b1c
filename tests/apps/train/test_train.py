"""One command trains a cohort, says how long that takes, and goes on where it was ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from utad_monai.apps import train
from utad_monai.apps.train import TrainSettings, is_evaluated, train_cohort
from utad_monai.apps.train.rehearsal import Timing, training_seconds
from utad_monai.data import PreparedCohort
from utad_monai.keys import TrainPreset
from utad_monai.models.stages import Stage
from utad_monai.runtime.files import write_json
from utad_monai.runtime.signals import Interruption

TINY = (
    *("--frame_size_mm", "[36,36]", "--image_size", "[32,32]", "--unet_channels", "[4,8]", "--unet_strides", "[2]"),
    *("--start_weights", "", "--base_channels", "2", "--critic_channels", "4", "--critic_layers", "4"),
    *("--max_epochs", "2", "--decay_epochs", "1", "--samples_per_epoch", "8", "--batch_size", "4"),
    *("--critics_from_epoch", "0", "--val_interval", "2", "--source_slices", "1", "--unet_residual_units", "0"),
)


def settings(cohort: Path, output: Path) -> TrainSettings:
    return TrainSettings(cohort, output, preset=TrainPreset.DEMO, device="cpu", overrides=TINY)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, tiny_cohort: Path) -> tuple[Path, list[str], list[str]]:
    """Interrupt a training before its student, and give the folder and what both calls printed."""
    output = tmp_path_factory.mktemp("train") / "run"
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.typer, "echo", said.append)
        patch.setattr(train, "show_next", said.extend)
        run = train.run_bundle
        patch.setattr(train, "run_bundle", lambda **given: _interrupt_the_student(run, given))
        with pytest.raises(Interruption):
            train_cohort(settings(tiny_cohort, output))
        first = said.copy()
        said.clear()
        patch.setattr(train, "run_bundle", run)
        train_cohort(settings(tiny_cohort, output))
    return output, first, said


def _interrupt_the_student(run: Any, given: dict[str, Any]) -> None:
    if Path(given["config_file"][0]).stem == Stage.STUDENT:
        raise Interruption(2)
    run(**given)


@pytest.mark.command_line
def test_every_stage_leaves_its_result_log_and_picture(story: tuple[Path, list[str], list[str]]) -> None:
    output, _, _ = story
    for stage in (Stage.SEGMENTATION, Stage.TEACHER, Stage.STUDENT):
        for name in ("model.safetensors", "history.csv", "progress.png", "log.txt"):
            assert (output / stage / name).is_file(), f"{stage}/{name}"
        assert "INFO epoch 2 of 2: loss" in (output / stage / "log.txt").read_text(encoding="utf-8")
    assert (output / "report.html").is_file()
    assert not (output / ".rehearsal").exists()


@pytest.mark.command_line
def test_the_time_of_all_stages_is_said_before_the_first(story: tuple[Path, list[str], list[str]]) -> None:
    _, first, _ = story
    told = next(place for place, line in enumerate(first) if line.startswith("about "))
    begun = first.index("[1/4] segmentation network on real images (it measures Dice)")
    assert told < begun
    assert all(f"{stage} " in first[told] for stage in ("segmentation", "teacher", "student", "evaluation"))


@pytest.mark.command_line
def test_the_same_call_goes_on_where_it_was_ended(story: tuple[Path, list[str], list[str]]) -> None:
    output, first, second = story
    assert not any("[4/4]" in line for line in first)
    told = next(line for line in second if line.startswith("about "))
    assert "segmentation done, teacher done, student " in told
    assert (output / "teacher" / "log.txt").read_text(encoding="utf-8").count("epoch 2 of 2") == 1
    assert is_evaluated(output)


@pytest.mark.command_line
def test_it_ends_with_what_to_do_next(story: tuple[Path, list[str], list[str]], tiny_cohort: Path) -> None:
    output, _, second = story
    assert f"report: {output / 'report.html'}" in second
    assert second[-1] == f"utad-monai complete {tiny_cohort} --model {output} --output {output / 'completed'}"


def test_an_evaluation_of_other_models_is_none(tmp_path: Path) -> None:
    assert not is_evaluated(tmp_path)
    hashes = dict.fromkeys(("student_sha256", "teacher_sha256", "segmentation_sha256"), "0" * 64)
    write_json(tmp_path / "evaluation" / "summary.json", {"protocol": hashes})
    for stage in ("student", "teacher", "segmentation"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "model.safetensors").write_bytes(os.urandom(8))
    assert not is_evaluated(tmp_path)


class Config(dict[str, Any]):
    """Values of a config."""


class Run:
    def __init__(self, **values: Any) -> None:
        self.config = Config(values)


TIMING = Timing(1.0, 3.0, validation=2.0, around=1.0, iterations=10, validated=5)


def test_resting_critics_and_validations_are_counted(prepared_tiny_cohort: PreparedCohort) -> None:
    run: Any = Run(max_epochs=4, critics_from_epoch=3, val_interval=2, downstream_interval=0)
    assert training_seconds(run, TIMING, prepared_tiny_cohort) == 10 * (2 * 1 + 2 * 3) + 2 * (1 + 2 * 5)


def test_a_budget_in_minutes_is_what_it_takes(prepared_tiny_cohort: PreparedCohort) -> None:
    run: Any = Run(max_epochs=4, val_interval=2, max_minutes=3.0)
    assert training_seconds(run, TIMING, prepared_tiny_cohort) == 180
