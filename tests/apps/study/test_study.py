"""A study, end to end on the tiny cohort: every table, honest about what each method was, repeatable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from utad_monai.apps.study import METRICS, StudyFile, StudyPlan, StudyProtocol, _protocol, run_study, training
from utad_monai.apps.study.measuring import measure_study, study_cohort
from utad_monai.apps.study.results import study_views
from utad_monai.data import CohortError, PreparedCohort
from utad_monai.keys import Modality
from utad_monai.models import starter

TOLERANT = {"zero_fill+tolerant", "utad_a+tolerant"}
BASELINES = {"real", "copy_source", "zero_fill", "flat_brain", "contrast_map", "paired_contrast_map"}
if (Path(starter.__file__).parent / starter.STARTER_FILE).is_file():
    BASELINES |= {"starter"}
    TOLERANT |= {"starter+tolerant"}


def test_the_result_has_every_protocol_metric_and_method(finished_study: Path, tiny_plan: StudyPlan) -> None:
    results = pandas.read_csv(finished_study / StudyFile.RESULTS)
    methods = {method.name for method in tiny_plan.methods} | BASELINES
    translation = results[results["protocol"] == StudyProtocol.TRANSLATION]
    assert set(translation["metric"]) == set(METRICS)
    assert set(translation["method"]) == methods
    assert len(translation) == len(METRICS) * len(methods)
    assert set(results[results["protocol"] == StudyProtocol.MISSING]["method"]) == methods | TOLERANT
    assert set(results[results["protocol"] == StudyProtocol.DISTRIBUTION]["method"]) == methods - {"real"}
    trainings = set(results[results["protocol"] == StudyProtocol.AUGMENTATION]["method"])
    assert trainings == {"real", "real_and_synthetic", "real+tolerant"}


def test_the_tables_have_one_row_per_case_and_question(finished_study: Path, tiny_plan: StudyPlan) -> None:
    methods, cases = len(tiny_plan.methods) + len(BASELINES), 1
    pairs, subsets, augmentation, distribution = (
        pandas.read_csv(finished_study / name)
        for name in (StudyFile.PAIRS, StudyFile.SUBSETS, StudyFile.AUGMENTATION, StudyFile.DISTRIBUTION)
    )
    assert len(pairs) == cases * 12 * methods
    assert len(subsets) == cases * 14 * (methods + len(TOLERANT))
    assert len(augmentation) == cases * 3
    assert len(distribution) == (methods - 1) * len(Modality)
    assert not pairs.duplicated(["case", "source", "target", "method"]).any()
    assert not subsets.duplicated(["case", "available", "method"]).any()


def test_the_protocol_names_budget_statistics_and_the_method_that_looks(finished_study: Path) -> None:
    protocol = json.loads((finished_study / StudyFile.PROTOCOL).read_text(encoding="utf-8"))
    assert protocol["split"] == "test"
    assert protocol["budget"]["max_epochs"] == 1
    assert "PAIRED" in protocol["training"]
    assert "PAIRED" in protocol["methods"]["paired_upper_bound"]["note"]
    assert all(method["minutes"] >= 0 for method in protocol["methods"].values())
    assert protocol["methods"]["stargan"]["iterations"] == 2
    assert protocol["methods"]["stargan"]["best_epoch"] == 1
    assert "USES PAIRS" in protocol["paired_contrast_map"]
    for key in ("hd95", "distribution", "statistics", "data_range", "window", "region", "tissue_order", "contrast_map"):
        assert protocol[key]


def test_the_upper_bound_was_trained_on_pairs_and_the_others_were_not(finished_study: Path) -> None:
    paired = pandas.read_csv(finished_study / "methods" / "paired_upper_bound" / "history.csv")
    stargan = pandas.read_csv(finished_study / "methods" / "stargan" / "history.csv")
    assert "generator/paired" in paired
    assert "generator/paired" not in stargan


def test_a_second_run_trains_nothing_and_says_the_same(
    finished_study: Path, tiny_plan: StudyPlan, tiny_cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "run_bundle", fail)
    before = {name: (finished_study / name).read_bytes() for name in StudyFile}
    run_study(tiny_plan, tiny_cohort, finished_study, workers=1)
    assert {name: (finished_study / name).read_bytes() for name in StudyFile} == before


def test_the_starter_is_measured_beside_the_methods_by_every_process(
    finished_study: Path, tiny_plan: StudyPlan, tiny_cohort: Path, starter_file: Path
) -> None:
    assert starter_file.is_file()
    measured = measure_study(tiny_plan, tiny_cohort, finished_study, workers=1)
    views = study_views(measured.rows)
    pairs, subsets = views[StudyFile.PAIRS], views[StudyFile.SUBSETS]
    assert (pairs["method"] == "starter").sum() == 12
    assert (subsets["method"] == "starter").sum() == 14
    apart = measure_study(tiny_plan, tiny_cohort, finished_study, workers=2)
    pandas.testing.assert_frame_equal(study_views(apart.rows)[StudyFile.PAIRS], pairs, rtol=1e-4)
    protocol = _protocol(tiny_plan, study_cohort(tiny_plan, tiny_cohort, finished_study), finished_study)
    assert "no patient was seen" in protocol["starter"]
    names, _, meaning = protocol["calibration"].partition(": ")
    assert {"starter", "student"} <= set(names.split(", "))
    assert "none of them judged" in meaning


def test_several_processes_measure_the_same_as_one(
    finished_study: Path, tiny_plan: StudyPlan, tiny_cohort: Path
) -> None:
    measured = study_views(measure_study(tiny_plan, tiny_cohort, finished_study, workers=2).rows)[StudyFile.PAIRS]
    before = pandas.read_csv(finished_study / StudyFile.PAIRS)
    pandas.testing.assert_frame_equal(measured, before, check_dtype=False, rtol=1e-4)


def test_no_complete_case_is_an_error(
    finished_study: Path, tiny_plan: StudyPlan, tiny_cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PreparedCohort, "complete_cases", lambda *_: [])
    with pytest.raises(CohortError, match="no complete test case"):
        measure_study(tiny_plan, tiny_cohort, finished_study)


def test_the_views_hold_numbers_of_the_long_table(finished_study: Path) -> None:
    long = pandas.read_csv(finished_study / StudyFile.MEASUREMENTS, keep_default_na=False, na_values={"value": [""]})
    assert list(long.columns) == ["case", "source", "target", "method", "region", "measure", "value"]
    named = long.set_index([*long.columns[:-1]])["value"]
    assert named.index.is_unique
    for row in pandas.read_csv(finished_study / StudyFile.PAIRS).to_dict("records"):
        pair = row["case"], row["source"], row["target"], row["method"]
        assert [named[(*pair, "WT", "hd95")], named[(*pair, "brain", "mae")]] == [row["hd95_WT"], row["mae"]]
    for row in pandas.read_csv(finished_study / StudyFile.SUBSETS).to_dict("records"):
        missing = "+".join(modality for modality in Modality if modality not in row["available"].split("+"))
        assert named[(row["case"], row["available"], missing, row["method"], "TC", "dice")] == row["dice_TC"]
    for row in pandas.read_csv(finished_study / StudyFile.AUGMENTATION).to_dict("records"):
        assert named[(row["case"], "+".join(Modality), "", row["method"], "WT", "dice")] == row["dice_WT"]
    for row in pandas.read_csv(finished_study / StudyFile.DISTRIBUTION).to_dict("records"):
        assert named[("", "", row["target"], row["method"], "frame", "kid")] == row["kid"]
