"""A study, end to end on the tiny cohort: resumable, one table, honest about what each method was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from utad_monai.configuration import bundles_dir
from utad_monai.study import METRICS, RESULT_FILE, StudyMethod, StudyPlan, load_plan, run_study, stage_dir, summarise

TINY: dict[str, Any] = {
    "frame_size_mm": [36, 36],
    "image_size": [32, 32],
    "base_channels": 2,
    "critic_channels": 2,
    "critic_layers": 4,
    "unet_channels": [4, 8],
    "unet_strides": [2],
    "max_epochs": 1,
    "decay_epochs": 0,
    "samples_per_epoch": 4,
    "batch_size": 2,
    "critic_steps": 1,
    "val_interval": 1,
    "workers": 1,
}


@pytest.fixture(scope="module")
def finished(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("study")
    run_study(load_plan("paper", overrides=TINY), tiny_cohort, output)
    return output


def test_the_result_has_every_metric_and_method_with_interval_and_test(finished: Path) -> None:
    results = pandas.read_csv(finished / RESULT_FILE)
    assert set(results["metric"]) == set(METRICS)
    methods = {method.name for method in load_plan("paper").methods} | {"copy_source", "zero_fill", "real"}
    assert len(methods) == 14
    assert set(results["method"]) == methods
    compared = results.dropna(subset=["reference"])
    assert set(compared["reference"]) == {"utad_a"}
    assert "utad_a" not in set(compared["method"])
    assert (results["low"].dropna() <= results["mean"][results["low"].notna()]).all()


def test_the_protocol_names_budget_notes_and_the_method_that_looks(finished: Path) -> None:
    protocol = json.loads((finished / "study_protocol.json").read_text(encoding="utf-8"))
    assert protocol["split"] == "test"
    assert protocol["budget"]["max_epochs"] == 1
    assert "PAIRED" in protocol["methods"]["paired_upper_bound"]["note"]


def test_the_upper_bound_was_trained_on_pairs_and_the_others_were_not(finished: Path) -> None:
    paired = pandas.read_csv(finished / "methods" / "paired_upper_bound" / "history.csv")
    stargan = pandas.read_csv(finished / "methods" / "stargan" / "history.csv")
    assert "generator/paired" in paired
    assert "generator/paired" not in stargan


def test_a_second_run_trains_nothing_again(finished: Path, tiny_cohort: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("utad_monai.study.run_bundle", fail)
    before = (finished / RESULT_FILE).read_bytes()
    run_study(load_plan("paper", overrides=TINY), tiny_cohort, finished)
    assert (finished / RESULT_FILE).read_bytes() == before


def test_other_settings_in_the_same_folder_are_refused(finished: Path, tiny_cohort: Path) -> None:
    plan = load_plan("paper", ["stargan"], overrides=TINY | {"max_epochs": 2})
    with pytest.raises(ValueError, match="trained with other settings"):
        run_study(plan, tiny_cohort, finished)


def test_students_bring_their_teacher_and_the_reference_is_always_there() -> None:
    names = [method.name for method in load_plan("demo", ["utad_b"]).methods]
    assert names == ["utad_teacher", "utad_a", "utad_b"]


def test_unknown_presets_and_methods_are_named() -> None:
    with pytest.raises(ValueError, match=r"no preset 'fast'; there are demo, paper"):
        load_plan("fast")
    with pytest.raises(ValueError, match="no method utad_x"):
        load_plan("demo", ["utad_x"])


def test_every_method_of_the_packaged_study_overrides_keys_that_exist() -> None:
    for method in load_plan("demo").methods:
        bundle = json.loads((bundles_dir() / f"{method.bundle}.json").read_text(encoding="utf-8"))
        for key in method.overrides:
            node: Any = bundle
            for part in key.split("::"):
                assert part in node, f"{method.name}: {key}"
                node = node[part]
        assert all((bundles_dir() / overlay).is_file() for overlay in method.overlays)


def test_the_teacher_lies_where_its_students_look(tmp_path: Path) -> None:
    assert stage_dir(StudyMethod("utad_teacher", "teacher"), tmp_path) == tmp_path / "teacher"
    assert stage_dir(StudyMethod("stargan", "teacher"), tmp_path) == tmp_path / "methods" / "stargan"


def test_a_case_counts_once_however_many_pairs_it_has() -> None:
    rows = [
        {"case": case, "source": source, "target": "t2", "method": method, **dict.fromkeys(METRICS, value)}
        for case, pairs in (("A", [0.0]), ("B", [1.0, 1.0, 1.0]))
        for source, value in zip(("t1", "flair", "t1ce"), pairs, strict=False)
        for method in ("utad_a", "copy_source")
    ]
    results = summarise(pandas.DataFrame(rows), StudyPlan("utad_a", (), (), {}))
    assert np.allclose(results["mean"], 0.5)
    assert set(results["cases"]) == {2}
