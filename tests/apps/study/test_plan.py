"""The packaged plan is complete and sound, and what is asked for comes with what it builds on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from utad_monai.apps.study.plan import (
    AUGMENTED_SEGMENTATION,
    SEGMENTATION,
    TEACHER,
    TOLERANT_SEGMENTATION,
    StudyMethod,
    load_plan,
    single_segmentation,
)
from utad_monai.bundle.configs import bundles_dir
from utad_monai.bundle.trust import UntrustedConfigError
from utad_monai.keys import Modality
from utad_monai.models.stages import Stage


def test_every_method_of_the_protocol_is_there() -> None:
    names = [method.name for method in load_plan("demo").methods]
    assert set(names) == {
        *("utad_teacher", "stargan", "targan_like", "utad_a", "utad_b", "utad_c", "utad_d"),
        *("unguided_teacher", "unguided_student"),
        *("no_feature_distillation", "no_image_distillation", "no_distillation", "paired_upper_bound"),
    }


def test_the_methods_that_look_or_need_masks_say_so() -> None:
    notes = {method.name: method.note for method in load_plan("demo").methods}
    assert "PAIRED" in notes["paired_upper_bound"]
    assert "masks" in notes[TEACHER]


def test_every_segmentation_network_that_measures_is_trained() -> None:
    names = {segmenter.name for segmenter in load_plan("demo").segmenters}
    assert names == {SEGMENTATION, AUGMENTED_SEGMENTATION, TOLERANT_SEGMENTATION, *map(single_segmentation, Modality)}


def test_students_bring_their_teacher_and_the_reference_is_always_there() -> None:
    names = [method.name for method in load_plan("demo", ["utad_b"]).methods]
    assert names == ["utad_teacher", "utad_a", "utad_b"]


def test_teachers_and_students_are_no_baselines() -> None:
    assert load_plan("demo").baselines == ("stargan", "targan_like", "paired_upper_bound")


def test_unknown_presets_methods_and_negative_minutes_are_named() -> None:
    with pytest.raises(ValueError, match=r"no preset 'fast'; there are demo, paper"):
        load_plan("fast")
    with pytest.raises(ValueError, match="no method utad_x"):
        load_plan("demo", ["utad_x"])
    with pytest.raises(ValueError, match="minutes must not be negative"):
        load_plan("demo", minutes=-2)


def test_the_budget_is_the_same_for_every_method_and_not_for_segmentation() -> None:
    for plan in (
        load_plan("demo"),
        load_plan("demo", minutes=3),
        load_plan("demo", method_overrides={"max_epochs": 9}),
    ):
        budgets = [
            {key: plan.settings(method)["overrides"].get(key) for key in ("max_epochs", "decay_epochs", "max_minutes")}
            for method in plan.methods
        ]
        assert all(budget == budgets[0] for budget in budgets)
        assert "max_minutes" not in plan.settings(plan.segmenters[0])["overrides"]
    assert load_plan("demo", minutes=3).method_overrides["max_minutes"] == 3


@pytest.mark.parametrize("method", load_plan("demo").trainings, ids=lambda method: method.name)
def test_every_override_is_a_key_of_its_bundle(method: StudyMethod) -> None:
    plan = load_plan("demo", minutes=1)
    settings = plan.settings(method)
    bundle: dict[str, Any] = {}
    for file in (f"{method.bundle}.json", *settings["overlays"]):
        assert (bundles_dir() / file).is_file()
        bundle |= json.loads((bundles_dir() / file).read_text(encoding="utf-8"))
    for key in settings["overrides"]:
        node: Any = bundle
        for part in key.split("::"):
            assert part in node, f"{method.name}: {key}"
            node = node[part]


@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_methods_begin_with_the_published_values_and_segmentation_does_not(preset: str) -> None:
    plan = load_plan(preset)
    assert {plan.settings(method)["overlays"][0] for method in plan.methods} == {"published.json"}
    assert all("published.json" not in plan.settings(segmenter)["overlays"] for segmenter in plan.segmenters)


def test_the_paper_preset_gives_all_trainings_the_same_slices() -> None:
    published = json.loads((bundles_dir() / "published.json").read_text(encoding="utf-8"))
    cohort = load_plan("paper").cohort_overrides
    assert cohort == {key: published[key] for key in ("frame_size_mm", "image_size")}


def test_models_lie_where_other_bundles_look(tmp_path: Path) -> None:
    plan = load_plan("demo")
    assert plan.stage_dir(TEACHER, tmp_path) == tmp_path / Stage.TEACHER
    assert plan.stage_dir("utad_a", tmp_path) == tmp_path / Stage.STUDENT
    assert plan.stage_dir(SEGMENTATION, tmp_path) == tmp_path / Stage.SEGMENTATION
    assert plan.stage_dir(TOLERANT_SEGMENTATION, tmp_path) == tmp_path / Stage.TOLERANT
    assert plan.stage_dir("stargan", tmp_path) == tmp_path / "methods" / "stargan"
    folders = [plan.stage_dir(training.name, tmp_path) for training in plan.trainings]
    assert len(set(folders)) == len(folders) == 20


def test_what_a_training_builds_on_is_trained_too() -> None:
    plan = load_plan("demo")
    names = {training.name for training in plan.trainings}
    assert {training.after for training in plan.trainings if training.after} <= names
    teachers = {method.name for method in plan.methods if method.bundle == Stage.TEACHER}
    assert all(method.after in teachers for method in plan.methods if method.bundle == Stage.STUDENT)


def test_unguided_student_learns_from_the_unguided_teacher() -> None:
    plan = load_plan("demo", ["unguided_student"])
    methods = {method.name: method for method in plan.methods}
    assert methods["unguided_student"].after == "unguided_teacher"
    assert plan.settings(methods["unguided_teacher"])["overrides"]["tumour_guidance_weight"] == 0
    assert plan.settings(methods["unguided_student"])["overrides"]["tumour_distillation_weight"] == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["methods"]["utad_b"]["overrides"].update(seed="$1"), "seed: expression"),
        (lambda c: c["methods"]["utad_b"]["overrides"].update(a={"_target_": "os.system"}), "component"),
        (lambda c: c["methods"]["utad_b"].update(bundle="../evil"), "no packaged bundle"),
        (lambda c: c["methods"]["utad_b"].update(bundle="/tmp/evil"), "no packaged bundle"),
        (lambda c: c["methods"]["utad_b"].update(overlays=["/tmp/evil.json"]), "no packaged bundle"),
        (lambda c: c["presets"]["demo"].update(overlays=["../bundles/demo.json"]), "no packaged bundle"),
        (lambda c: c["methods"].update({"../../evil": {"bundle": "teacher"}}), "would be a path"),
        (lambda c: c["segmenters"].update({"evil\x1b": {"bundle": "teacher"}}), "control characters"),
    ],
)
def test_study_that_could_run_code_or_leave_its_folder_is_refused(tmp_path: Path, change: Any, reason: str) -> None:
    content = json.loads((bundles_dir() / "study.json").read_text())
    change(content)
    (tmp_path / "mine.json").write_text(json.dumps(content))
    with pytest.raises(UntrustedConfigError, match=rf"mine\.json: .*{reason}"):
        load_plan("demo", config_file=tmp_path / "mine.json")


def test_trusted_study_may_hold_expressions(tmp_path: Path) -> None:
    content = json.loads((bundles_dir() / "study.json").read_text())
    content["methods"]["utad_b"]["overrides"]["seed"] = "$1 + 1"
    (tmp_path / "mine.json").write_text(json.dumps(content))
    assert load_plan("demo", config_file=tmp_path / "mine.json", trusted=True)
