"""The best translator is saved when the validation improves, and only then."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from utad_monai.data import PreparedCohort, Preprocessing
from utad_monai.data.intensity_histogram import EDGES
from utad_monai.engines import TranslationValidator
from utad_monai.handlers import SaveBestTranslator, typical_windows
from utad_monai.inferers import SliceTranslator, fit_store_calibration
from utad_monai.keys import Modality
from utad_monai.models import CheckpointError, load_translator
from utad_monai.networks import critic_pair
from utad_monai.transforms import IntensityWindow

Make = Callable[..., Any]


@pytest.fixture
def handler(tmp_path: Path, translator: SliceTranslator, prepared_tiny_cohort: PreparedCohort) -> SaveBestTranslator:
    return SaveBestTranslator(
        tmp_path / "run" / "model.safetensors",
        translator.generator,
        critics=critic_pair((32, 32), 2, 4),
        store=prepared_tiny_cohort.store,
        training_cases=prepared_tiny_cohort.cases("train"),
        training={"stage": "student", "seed": 7},
    )


def after_epoch(validator: TranslationValidator, epoch: int, value: float) -> TranslationValidator:
    validator.state.epoch = epoch
    validator.state.metrics[str(validator.key_metric)] = value
    return validator


def test_model_is_saved_only_when_the_validation_improved(handler: SaveBestTranslator, make_validator: Make) -> None:
    validator = make_validator()
    epochs = []
    for epoch, value in enumerate([-0.5, -0.7, -0.5, -0.2, -0.3], start=1):
        with torch.no_grad():
            handler.generator.image_decoder.head.bias.fill_(epoch)
        handler(after_epoch(validator, epoch, value))
        saved = load_translator(handler.path)
        epochs.append(saved.training["epoch"])
        assert saved.generator.image_decoder.head.bias.item() == epochs[-1]
    assert epochs == [1, 1, 1, 4, 4]
    assert handler.best == -0.2


def test_the_model_of_an_earlier_version_is_replaced_when_a_better_one_is_saved(
    handler: SaveBestTranslator, make_validator: Make
) -> None:
    earlier = handler.path.with_name("model.pt")
    earlier.parent.mkdir()
    earlier.write_bytes(b"earlier")
    handler.load_state_dict({"best": -0.5})
    handler(after_epoch(make_validator(), 1, -0.7))
    assert [path.name for path in earlier.parent.iterdir()] == ["model.pt"]
    handler(after_epoch(make_validator(), 2, -0.2))
    assert [path.name for path in earlier.parent.iterdir()] == ["model.safetensors"]


def test_saved_model_keeps_the_intensities_of_healthy_brain_in_its_cohort(
    handler: SaveBestTranslator, make_validator: Make, prepared_tiny_cohort: PreparedCohort
) -> None:
    handler(after_epoch(make_validator(), 1, -0.5))
    saved = load_translator(handler.path)
    assert not saved.taught
    store, cases = prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train")
    same = fit_store_calibration(saved.reference_histograms, store, cases)
    assert set(same.maps) == {modality for case in cases for modality in case.modalities}
    for chosen in same.maps.values():
        np.testing.assert_allclose(chosen.knots, EDGES, atol=0.01)  # its own cohort changes nothing


def test_saved_model_says_how_it_was_made(handler: SaveBestTranslator, make_validator: Make) -> None:
    validator = make_validator()
    validator.source_errors = {Modality.T1: {Modality.T2: 0.1, Modality.FLAIR: 0.2}}
    validator.scored_on = "12 pairs of 1 validation case"
    handler(after_epoch(validator, 3, -0.25))
    saved = load_translator(handler.path)
    assert saved.training == {
        "stage": "student",
        "seed": 7,
        "epoch": 3,
        "validation_metric": "unpaired_score",
        "validation_value": -0.25,
        "validated_on": "12 pairs of 1 validation case",
    }
    assert saved.source_errors == validator.source_errors
    assert saved.preprocessing == handler.preprocessing
    assert saved.target_windows == handler.target_windows
    assert saved.intensity_profiles == handler.intensity_profiles
    assert set(saved.intensity_profiles) == set(Modality)
    assert saved.critics is not None


def test_attached_to_the_validator_it_saves_after_its_run(
    handler: SaveBestTranslator,
    make_validator: Make,
    prepared_tiny_cohort: PreparedCohort,
    caplog: pytest.LogCaptureFixture,
) -> None:
    validator = make_validator(handler)
    assert len(prepared_tiny_cohort.cases("validation")) == 1
    with caplog.at_level(logging.INFO):
        validator.run(5)
    scored = "12 pairs of 1 validation case (flair 1, t1 1, t1ce 1, t2 1)"
    assert [
        m for m in caplog.messages if m.startswith("epoch 5: unpaired_score -") and f" on {scored} is the best" in m
    ]
    saved = load_translator(handler.path)
    assert saved.training["epoch"] == 5
    assert saved.training["validation_value"] == validator.state.metrics["unpaired_score"]
    assert saved.training["validated_on"] == scored
    assert saved.source_errors == validator.source_errors != {}


def test_last_good_model_stays_when_the_weights_became_nan(handler: SaveBestTranslator, make_validator: Make) -> None:
    validator = make_validator()
    handler(after_epoch(validator, 1, -0.5))
    good = handler.path.read_bytes()
    with torch.no_grad():
        handler.generator.image_decoder.head.bias.fill_(torch.nan)
    with pytest.raises(CheckpointError, match="NaN"):
        handler(after_epoch(validator, 2, -0.1))
    assert handler.path.read_bytes() == good


def test_nan_score_never_replaces_a_model(handler: SaveBestTranslator, make_validator: Make) -> None:
    validator = make_validator()
    handler(after_epoch(validator, 1, -0.5))
    handler(after_epoch(validator, 2, float("nan")))
    assert load_translator(handler.path).training["epoch"] == 1


def test_other_engines_are_refused(handler: SaveBestTranslator) -> None:
    with pytest.raises(RuntimeError, match="validator"):
        handler(Engine(lambda *_: None))


def test_typical_window_is_the_median_of_the_cases_that_have_the_modality(
    prepared_tiny_cohort: PreparedCohort,
) -> None:
    template = prepared_tiny_cohort.cases("train")[0]
    lowers = {Modality.T1: [10.0, 30.0, 80.0], Modality.T2: [5.0]}
    cases = [
        replace(
            template, windows={m: IntensityWindow(v[n], v[n] + 100 * n + 1) for m, v in lowers.items() if n < len(v)}
        )
        for n in range(3)
    ]
    assert typical_windows(cases) == {
        Modality.T1: IntensityWindow(30.0, 131.0),
        Modality.T2: IntensityWindow(5.0, 6.0),
    }
    assert typical_windows([]) == {}


def test_preprocessing_of_the_model_is_that_of_the_cohort(
    handler: SaveBestTranslator, tiny_preprocessing: Preprocessing
) -> None:
    assert handler.preprocessing == tiny_preprocessing
