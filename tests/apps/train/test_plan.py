"""What a cohort allows is known before anything is trained, and every setting reaches the stages that know it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from utad_monai.apps.train.plan import Plan, StageRun, TrainSettings, plan_of, refuse_untrainable, stage_runs
from utad_monai.apps.train.preset import Machine, choose_preset
from utad_monai.bundle.configs import UnknownOverrideError, WrongValueError
from utad_monai.bundle.trust import ConfigFileError, UntrustedConfigError
from utad_monai.data import PreparedCohort
from utad_monai.data.quality.finding import CohortError
from utad_monai.keys import Modality, Pairs, Split, TrainPreset
from utad_monai.models.stages import Stage

PRESET, _ = choose_preset(TrainPreset.DEMO, Machine(2, 16.0))


def runs_with(*overrides: str, device: str = "auto") -> dict[Stage, StageRun]:
    settings = TrainSettings(Path("cohort"), Path("out"), device=device, overrides=overrides)
    return stage_runs(settings, PRESET, 2)


def stages(plan: Plan) -> list[Stage]:
    return [run.stage for run in plan.runs]


def test_stages_come_in_the_order_in_which_they_need_each_other() -> None:
    assert list(runs_with()) == [Stage.SEGMENTATION, Stage.TEACHER, Stage.STUDENT, Stage.EVALUATION]


def test_an_override_reaches_every_stage_that_has_its_key() -> None:
    runs = runs_with("--max_epochs", "12", "--unet_channels=[4,8]", "--unet_strides", "[2]")
    assert [run.given.get("max_epochs") for run in runs.values()] == [12, 12, 12, None]
    assert runs[Stage.SEGMENTATION].given["unet_channels"] == [4, 8]
    assert runs[Stage.TEACHER].config["samples_per_epoch"] == 1600


def test_the_share_of_the_start_weights_is_said_to_the_teacher_alone() -> None:
    runs = runs_with("--start_share", "0.25")
    assert [run.given.get("start_share") for run in runs.values()] == [None, 0.25, None, None]


@pytest.mark.parametrize(
    ("overrides", "error", "text"),
    [
        (["--max_epoch", "3"], UnknownOverrideError, "did you mean --max_epochs"),
        (["--max_epochs", "0"], WrongValueError, "--max_epochs 0: needs a whole number"),
        (["--output_dir", "x"], ConfigFileError, "--output_dir is chosen by the command's own arguments"),
        (["--seed", "$1+1"], UntrustedConfigError, "expression"),
        (["max_epochs", "3"], ConfigFileError, "is no override"),
    ],
)
def test_a_wrong_override_is_one_line(overrides: list[str], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        runs_with(*overrides)
    assert "\n" not in str(caught.value)


def test_a_device_is_said_to_every_stage_and_left_to_the_bundles_otherwise() -> None:
    assert {run.given["device"] for run in runs_with(device="cpu").values()} == {"cpu"}
    assert not any("device" in run.given for run in runs_with().values())


def test_a_cohort_without_a_segmentation_is_refused(tmp_path: Path, write_case: Callable[..., Path]) -> None:
    write_case(tmp_path, "BraTS_001", segmentation=False)
    with pytest.raises(CohortError, match="nothing can be trained; utad-monai complete"):
        refuse_untrainable(TrainSettings(tmp_path, Path("out")))
    write_case(tmp_path, "BraTS_002")
    refuse_untrainable(TrainSettings(tmp_path, Path("out")))


def test_a_complete_cohort_gets_every_stage(prepared_tiny_cohort: PreparedCohort) -> None:
    plan = plan_of(prepared_tiny_cohort, runs_with(), Pairs.AUTO)
    assert len(plan.runs) == 4
    assert plan.runs[-1].given["split"] == "test"
    assert plan.notes == ("pairs auto: trained with pairs of 4 patients (4 training patients); --pairs never for none",)


def with_split(cohort: PreparedCohort, other: Split, taken: Split) -> PreparedCohort:
    """Return a cohort whose cases of one split are in another one."""
    return replace(cohort, split={name: taken if split is other else split for name, split in cohort.split.items()})


def test_without_complete_validation_cases_dice_is_left_out(prepared_tiny_cohort: PreparedCohort) -> None:
    plan = plan_of(with_split(prepared_tiny_cohort, Split.VALIDATION, Split.TRAIN), runs_with(), Pairs.NEVER)
    assert stages(plan) == [Stage.TEACHER, Stage.STUDENT]
    assert plan.notes[0] == "pairs never: 5 training patients, without looking at true targets (the paper's setting)"
    assert "left out: segmentation network, Dice, evaluation and report" in plan.notes[1]
    assert len(plan.notes) == 2


def test_without_test_cases_the_validation_cases_are_evaluated(prepared_tiny_cohort: PreparedCohort) -> None:
    plan = plan_of(with_split(prepared_tiny_cohort, Split.TEST, Split.TRAIN), runs_with(), Pairs.AUTO)
    assert plan.runs[-1].given["split"] == "validation"
    assert "evaluated on the validation cases" in plan.notes[1]


def test_who_has_one_image_is_no_pair(prepared_tiny_cohort: PreparedCohort) -> None:
    store = prepared_tiny_cohort.store
    name = prepared_tiny_cohort.cases(Split.TRAIN)[0].case_id
    case = store.cases[name]
    alone = replace(case, windows={Modality.T1: case.windows[Modality.T1]})
    fewer = type(store)([alone if each.case_id == name else each for each in store.cases.values()], store.preprocessing)
    plan = plan_of(replace(prepared_tiny_cohort, store=fewer), runs_with(), Pairs.AUTO)
    assert "pairs of 3 patients of 4 training patients" in plan.notes[0]
