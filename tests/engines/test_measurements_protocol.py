"""The protocol says what was measured how, as plain data."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from monai.networks.nets import UNet

from utad_monai.data import PreparedCohort
from utad_monai.data.slice_store import SliceStore
from utad_monai.engines import evaluation_protocol
from utad_monai.keys import Modality, Split
from utad_monai.models import Segmenter, TranslatorModel
from utad_monai.phantom.cohort import CASE_PREFIX


@pytest.fixture
def models(student_translator: TranslatorModel) -> tuple[TranslatorModel, TranslatorModel, Segmenter]:
    unet: dict[str, Any] = {"spatial_dims": 2, "in_channels": 4, "out_channels": 3, "channels": [4, 8], "strides": [2]}
    student = replace(student_translator, sha256="5", training={"validation_metric": "unpaired_score"})
    segmenter = Segmenter(UNet(**unet), student.preprocessing, arguments=unet, sha256="e")
    return student, replace(student_translator, sha256="7"), segmenter


def test_protocol_names_cases_grid_window_choice_and_models(
    prepared_tiny_cohort: PreparedCohort, models: tuple[TranslatorModel, TranslatorModel, Segmenter]
) -> None:
    protocol = evaluation_protocol(prepared_tiny_cohort, "test", *models)
    assert protocol["cohort"] == "given by the user"
    assert protocol["split"] == "test"
    assert protocol["test_cases"] == [case.case_id for case in prepared_tiny_cohort.cases(Split.TEST)]
    assert protocol["training_cases"] == len(prepared_tiny_cohort.cases(Split.TRAIN)) > 0
    assert "32x32 pixels of 1.12x1.12 mm" in protocol["grid"]
    assert "0.5-99.5" in protocol["window"]
    assert protocol["checkpoint_choice"] == "best unpaired_score on the validation split"
    assert protocol["data_range"] == 1.0
    assert {"tissue_order", "tissue_contrast", "flat_brain", "contrast_map", "paired_contrast_map"} < set(protocol)
    assert [protocol[f"{name}_sha256"] for name in ("student", "teacher", "segmentation")] == ["5", "7", "e"]


def test_protocol_says_when_checkpoints_were_not_chosen_on_the_validation_split(
    prepared_tiny_cohort: PreparedCohort, models: tuple[TranslatorModel, TranslatorModel, Segmenter]
) -> None:
    student = replace(models[0], training=dict(models[0].training) | {"validated_on": "12 pairs of 4 training cases"})
    protocol = evaluation_protocol(prepared_tiny_cohort, "test", student, *models[1:])
    assert protocol["checkpoint_choice"] == "best unpaired_score on 12 pairs of 4 training cases"


def test_protocol_says_what_the_starter_is_and_who_is_calibrated(
    prepared_tiny_cohort: PreparedCohort, models: tuple[TranslatorModel, TranslatorModel, Segmenter]
) -> None:
    without = evaluation_protocol(prepared_tiny_cohort, "test", *models)
    assert "not measured" in without["starter"]
    assert "calibration" not in without
    painted = {Modality.T1: (1 / 256,) * 256}
    starter = replace(models[0], sha256="9", reference_histograms=painted, target_windows={})
    trained = replace(models[0], reference_histograms=painted)
    said = evaluation_protocol(prepared_tiny_cohort, "test", trained, *models[1:])["calibration"]
    assert said.startswith("student: ")
    found = evaluation_protocol(prepared_tiny_cohort, "test", *models, starter=starter)
    assert "no patient was seen" in found["starter"]
    assert "mirror" in found["starter"]
    assert found["starter_sha256"] == "9"
    assert found["calibration"].startswith("starter: ")
    plain = evaluation_protocol(
        prepared_tiny_cohort, "test", starter, *models[1:], starter=starter, starter_flips=False, source_slices=8
    )
    assert "mirror" not in plain["starter"]
    assert plain["calibration"].startswith("starter, student: ")
    assert "at most 8 slices" in plain["image_quality_by_sources"]
    assert "subsets" in found["image_quality_by_sources"]
    assert "slices" not in found["image_quality_by_sources"]


def test_protocol_is_plain_data(
    prepared_tiny_cohort: PreparedCohort, models: tuple[TranslatorModel, TranslatorModel, Segmenter]
) -> None:
    protocol = evaluation_protocol(prepared_tiny_cohort, Split.TEST, *models)
    assert json.loads(json.dumps(protocol)) == protocol


def test_phantom_is_never_presented_as_a_real_cohort(
    prepared_tiny_cohort: PreparedCohort, models: tuple[TranslatorModel, TranslatorModel, Segmenter]
) -> None:
    store = prepared_tiny_cohort.store
    renamed = [replace(case, case_id=CASE_PREFIX + name) for name, case in store.cases.items()]
    split = {CASE_PREFIX + name: split for name, split in prepared_tiny_cohort.split.items()}
    phantom = PreparedCohort(SliceStore(renamed, store.preprocessing), split)
    assert "phantom" in evaluation_protocol(phantom, "test", *models)["cohort"]
